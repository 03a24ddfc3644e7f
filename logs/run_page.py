"""Gathers what the page of one run says: its steps, its log, and what a cancel did or would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse

from automations.cancellation import unfinished_with_label
from automations.definition import Cancel, Definition, Delay, Invoke, Send, Step
from automations.models import (
    UNFINISHED,
    Cancellation,
    Descent,
    Environment,
    Event,
    EventKind,
    Run,
    definition_of_run,
    outcomes_of_run,
    steps_of_run,
)
from automations.timeline import StepState
from automations.undo import anybody_may
from logs import bulk_forms, words
from logs.rows import AFTER_THE_END
from logs.tags import tag

MOST_SHARING = 1_000


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """A step of the timeline: its state, what the definition says it does, whether its run has ended, and the moment
    that is told above it."""

    state: StepState
    step: Step | None
    is_over: bool
    above: datetime

    @property
    def headline(self) -> str:
        """What tells this step from others of its kind, as it was written."""
        match self.step:
            case Send():
                return self.step.title or self.step.body or self.step.template or ""
            case Delay():
                return self.step.duration or f"until {self.step.until}"
            case Cancel():
                return self.step.token or self.step.run_id or "by filter"
            case Invoke():
                return self.step.template
        return ""

    @property
    def message(self) -> dict[str, Any] | None:
        """What a send step recorded as sent."""
        output = self.state.output
        return output if isinstance(output, dict) and ("title" in output or "body" in output) else None

    @property
    def sent(self) -> dict[str, Any]:
        """What a send step recorded of its message, delivered or not: at least the channel."""
        recorded = (self.state.output, self.state.error)
        return next((told for told in recorded if isinstance(told, dict) and "channel" in told), {})

    @property
    def address(self) -> str:
        """Where its message went, or was to go; empty where nothing is recorded of that."""
        to = self.sent.get("to", "")
        return ", ".join(map(str, to.values())) if isinstance(to, dict) else str(to)

    @property
    def answer(self) -> dict[str, Any]:
        """What it recorded of a message besides what is told of it in words."""
        return {name: told for name, told in (self.message or {}).items() if name not in _IN_WORDS}

    @property
    def error(self) -> str:
        """What went wrong, as a sentence."""
        error = self.state.error
        return str(error.get("message", error)) if isinstance(error, dict) else str(error or "")

    @property
    def skip_reason(self) -> str:
        if self.state.skip_reason == "condition_false" and self.step is not None:
            return f"its condition was false: {self.step.condition}"
        reason = self.state.skip_reason or ""
        return _SKIPPED.get(reason, reason.replace("_", " "))

    @property
    def unstarted(self) -> str:
        """What stands there in place of a time; empty for a step that has one."""
        if self.state.status == "pending":
            return "not reached" if self.is_over else "to come"
        if self.state.status != "cancelled":
            return ""
        if self.state.attempts:
            return f"{words.tries(self.state)}, not again"
        if isinstance(self.step, Invoke) and self.state.output:
            return "its child is cancelled too" if self.step.follows else "its child goes on"
        return "prevented"

    @property
    def at(self) -> datetime | None:
        """When it ended, or started; None for one that has no time to tell."""
        return None if self.unstarted else self.state.finished_at or self.state.started_at

    @property
    def took(self) -> bool:
        """Whether it is told how long it took: effects only, the others take no time."""
        is_known = self.state.started_at is not None and self.state.finished_at is not None
        return (
            is_known
            and self.step is not None
            and self.step.kind == "effect"
            and self.state.status != "running"
        )


@dataclass(frozen=True)
class RunPage:
    """One run as its page shows it. `sharing` counts unfinished runs with its token, this one included."""

    run: Run
    events: Sequence[Event]
    sharing: int
    now: datetime

    @classmethod
    def read(cls, *, uid: UUID, environment: Environment, now: datetime) -> RunPage | None:
        """The run of that id in the environment, in three statements; None when there is none."""
        runs = Run.objects.within(environment).with_state().prefetch_related("events")
        run = runs.find(uid)
        if run is None:
            return None
        sharing = 0
        if run.token is not None:
            sharing = unfinished_with_label(environment=environment, token=run.token, most=MOST_SHARING + 1)
        return cls(run, list(run.events.all()), sharing, now)

    @cached_property
    def definition(self) -> Definition:
        return definition_of_run(self.run)

    @cached_property
    def steps(self) -> list[StepLine]:
        lines: list[StepLine] = []
        for state in steps_of_run(self.run):
            step = self.definition.named(state.id)
            lines.append(
                StepLine(state=state, step=step, is_over=self.run.is_finished, above=_last(lines, self.run))
            )
        return lines

    @property
    def last_at(self) -> datetime:
        """The moment that the last step tells which tells one."""
        return _last(self.steps, self.run)

    @cached_property
    def badge(self) -> words.Badge:
        ending = [event for event in self.events if event.kind not in AFTER_THE_END]
        failure = words.Failure.told_by(ending[-1]) if ending else None
        return words.badge(self.run, definition=self.definition, now=self.now, failure=failure)

    @property
    def cancelled(self) -> Cancellation | None:
        """The cancellation that called this run off."""
        return self.run.called_off_by

    @property
    def may_be_undone(self) -> bool:
        """Whether the cancellation that called this run off is not undone."""
        return self.cancelled is not None and self.cancelled.undone_at is None

    @property
    def anybody_may_undo(self) -> bool:
        """Whether whoever may cancel may undo it now; later that is an administrator's to do."""
        return self.cancelled is not None and anybody_may(self.cancelled, now=self.now)

    @property
    def prospects(self) -> list[str]:
        """What a cancel would do now."""
        beneath = Descent.objects.filter(ancestor=self.run.pk, run__live__state__in=UNFINISHED)
        children = beneath[: words.MOST_CHILDREN + 1].count() if self.source_of_children else 0
        return words.prevented_by_cancel([line.state for line in self.steps], children=children)

    @cached_property
    def in_flight(self) -> list[words.InFlight]:
        """What had started when the run was cancelled, and what became of it."""
        by_name, became = {line.state.id: line.state for line in self.steps}, outcomes_of_run(self.run)
        return [
            words.InFlight(
                name=words.listed(by_name[entry["step"]]) if entry["step"] in by_name else entry["step"],
                started_at=datetime.fromisoformat(entry["started_at"]),
                outcome=words.after_cancel(became[entry["fence"]]),
            )
            for entry in self.run.in_flight_at_cancel
        ]  # fmt: skip

    @property
    def source_of_children(self) -> str:
        """The source of the runs that it starts; empty for one that starts none."""
        bears = any(isinstance(line.step, Invoke) for line in self.steps)
        return f"run/{self.run.uid}" if bears else ""

    @property
    def parent(self) -> str:
        """The public id of the run that started it; empty for one that no run did."""
        return self.run.source.removeprefix("run/") if self.run.parent_id is not None else ""

    @property
    def too_late(self) -> str:
        return words.too_late(self.run, self.in_flight)

    @property
    def offers_token(self) -> bool:
        """Whether the cancel dialog offers to cancel every run with this token as well."""
        return not self.run.is_finished and 1 < self.sharing <= bulk_forms.TYPED_ABOVE

    @property
    def bulk_of_token(self) -> str:
        """Where so many runs with this token are looked at before they are cancelled; empty for few."""
        if self.run.is_finished or self.sharing <= bulk_forms.TYPED_ABOVE:
            return ""
        return f"{reverse('logs:bulk-new')}?{urlencode({'token': self.run.token})}"

    @property
    def may_change(self) -> bool:
        return not self.run.is_finished or self.run.is_settling

    @property
    def tag(self) -> str:
        """Changes whenever the panel would look different."""
        live = self.run.live_run if self.run.status is None else None
        state = (live.state, live.position, self.run.due_at, live.attempt, self.run.is_held) if live else ()
        return tag(self.run.public_status, self.run.is_settling, state, len(self.events), self.sharing)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The run's events, oldest first, in words and as stored."""
        events = sorted(self.events, key=lambda event: event.at)  # one that is noted later may tell of before
        above = [None, *(event.at for event in events)]
        return [
            {"at": event.at, "above": before, "words": _said(event, self.definition), "data": event.data}
            for before, event in zip(above, events, strict=False)
        ]

    @property
    def raw(self) -> dict[str, Any]:
        """The run as one JSON object."""
        run, cancellation = self.run, self.cancelled
        return {
            "id": run.uid,
            "invocation": run.invocation.uid,
            "automation": run.automation.key if run.automation else None,
            "version": run.version.number if run.version else None,
            "source": run.source,
            "recipient": run.recipient,
            "cancellation_token": run.token,
            "cancellation_key": run.key,
            "status": run.public_status,
            "settling": run.is_settling,
            "held": run.is_held,
            "status_reason": run.reason,
            "created_at": run.created_at,
            "due_at": run.due_at,
            "finished_at": run.ended_at,
            "cancellation": cancellation and {
                "id": cancellation.pk, "at": cancellation.as_of, "actor": cancellation.actor,
                "origin": cancellation.origin, "reason": cancellation.reason,
            },
            "steps": [vars(line.state) for line in self.steps],
        }  # fmt: skip


_IN_WORDS = ("channel", "to", "recipient", "title", "body")
_SKIPPED = {
    "delays_skipped": "it was invoked without delays",
    "held": "its time passed while the automation was disabled",
    "undone": "its time passed while the run was called off",
    "not_replayed": "this run is a replay that begins behind it",
    "carried_over": "this run is a replay that begins behind it, and reads what came of it then",
}
_KINDS: dict[str, str] = {
    EventKind.INVOKED: "Invoked",
    EventKind.STEP_COMPLETED: "Completed",
    EventKind.STEP_FAILED: "Failed",
    EventKind.STEP_SKIPPED: "Skipped",
    EventKind.STEP_RETRIED: "Failed, will be tried again",
    EventKind.ADVANCED: "Went on",
    EventKind.LATE_RESULT: "A late answer came in",
    EventKind.REAPED: "Its worker was lost",
    EventKind.SETTLED: "Settled",
    EventKind.CANCELLED: "Cancelled",
    EventKind.FOLLOWED: "On cancel",
    EventKind.RESCHEDULED: "Given another time",
    EventKind.CARRIED: "Taken over from the run that this one replays",
    EventKind.REPLAYED: "Replayed as another run",
    EventKind.CHILD_ENDED: "Its child ended",
    EventKind.RESTORED: "Its cancellation was undone",
}


def _last(lines: Sequence[StepLine], run: Run) -> datetime:
    return next((line.at for line in reversed(lines) if line.at is not None), run.created_at)


def _said(event: Event, definition: Definition) -> str:
    """What happened, and at which step and attempt."""
    what = _KINDS.get(event.kind, event.kind)
    if not event.step:
        return what
    attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
    return f"{what} · {words.step_named(definition, event.step)}{attempt}"
