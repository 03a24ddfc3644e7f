"""Says in words how a run stands: its badge, what a cancel will prevent, what it did prevent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from automations.definition import Definition
from automations.forms import sentence as sentence
from automations.forms.step_list import label_of
from automations.models import Cancellation, CancellationFilter, Event, LiveRun, Origin, Run, RunStatus
from automations.timeline import StepState

MOST_CHILDREN = 1_000  # that a sentence counts

ORIGINS: dict[str, str] = {
    Origin.API: "API",
    Origin.COURIER: "Courier API",
    Origin.KNOCK: "Knock API",
    Origin.SUPRSEND: "SuprSend API",
    Origin.BROWSER: "browser",
    Origin.STEP: "cancel step",
    Origin.DISABLE: "disabled automation",
    Origin.PUBLISH: "published version",
    Origin.RULE: "rule",
}


@dataclass(frozen=True, kw_only=True)
class Badge:
    """A status to be seen: `look` names its colours and icon, `words` stand beside the icon, `note` below;
    `at` (UTC) is a moment that belongs to the note."""

    look: str
    words: str
    note: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """A step that had started when its run was cancelled."""

    name: str
    started_at: datetime
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What made a run fail: the step's name and a sentence."""

    step: str
    message: str

    @classmethod
    def told_by(cls, event: Event) -> Failure | None:
        """The error of the event that ended a run: its own, or that of the last step folded into it."""
        entries = [{"step": event.step, **event.data}, *event.data.get("folded", ())]
        errors = [entry for entry in entries if isinstance(entry.get("error"), dict)]
        return cls(step=errors[-1]["step"], message=str(errors[-1]["error"]["message"])) if errors else None


def badge(run: Run, *, definition: Definition, now: datetime, failure: Failure | None = None) -> Badge:
    """How a run stands; `failure` is what made it fail."""
    status = run.public_status
    live = run.live_run
    match status:
        case RunStatus.WAITING if live is not None:
            return _waiting(run, live, definition, now)
        case RunStatus.RUNNING if live is not None:
            words = f"Running · {step_at(definition, live.position)}"
            return Badge(look="running", words=words, note="since", at=live.started_at)
        case RunStatus.CANCELLED:
            look, words = (
                ("cancelling", "Cancelled, settling") if run.is_settling else ("cancelled", "Cancelled")
            )
            cancellation = run.called_off_by
            by = f"by {who(cancellation.actor)} · {ORIGINS[cancellation.origin]}" if cancellation else ""
            return Badge(look=look, words=words, note=by)
        case RunStatus.FAILED if failure is not None:
            step = definition.named(failure.step)
            where = f" · {step_at(definition, step.position)}" if step is not None else ""
            return Badge(look="failed", words=f"Failed{where}", note=failure.message)
    steps = len(definition.steps)
    return Badge(look=status, words=RunStatus(status).label, note=f"{steps} step{'s'[: steps != 1]}")


def _waiting(run: Run, live: LiveRun, definition: Definition, now: datetime) -> Badge:
    """A delay that has not ended rests in front of the step that the run stands at."""
    position, note, due_at = live.position, "next try" if live.attempt else "wakes", run.due_at or now
    if live.awaits is not None:
        before = definition.before(position)
        where = step_at(definition, before.position if before else position)
        return Badge(look="waiting", words=f"Waiting · {where}", note="for its child to end")
    if due_at <= now:
        note = "held since it was due" if run.is_held else "due"
    elif not live.attempt and position != "0":
        before = definition.step_at(str(int(position) - 1))
        position = before.position if before is not None and before.action == "delay" else position
    if due_at > now and run.is_held:
        note = "held; due"
    return Badge(look="waiting", words=f"Waiting · {step_at(definition, position)}", note=note, at=due_at)


def called(action: str) -> str:
    """What an action is called, here as in the editor."""
    return label_of({"action": action})


def step_at(definition: Definition, position: str) -> str:
    """“step 2 Delay”: people count from one."""
    step = definition.step_at(position)
    return f"step {int(position) + 1} {called(step.action)}" if step else "end"


def step_named(definition: Definition, name: str) -> str:
    """“Step 2 Delay”, of the name that events and receipts have for it; that name for none of the definition's."""
    step = definition.named(name)
    return f"S{step_at(definition, step.position)[1:]}" if step is not None else name


def who(actor: str) -> str:
    """An actor as people call it: a user by name, an API key by its name, a run by its short id."""
    kind, _, name = actor.partition("/")
    if kind == "user" and name:
        return name
    if kind == "key" and name:
        return f"key “{name}”"
    if kind in ("run", "invocation") and name:
        return f"{kind} {short(name)}"
    return actor


def state_of(cancellation: Cancellation) -> str:
    """How a cancellation stands: “done”, “being counted”, “scheduled”, “undone”, “being undone”, “withdrawn”."""
    if cancellation.undone_at is not None:
        if not cancellation.is_carried_out:
            return "withdrawn"
        return "undone" if cancellation.restored_at is not None else "being undone"
    if not cancellation.is_carried_out:
        return "scheduled"
    return "done" if cancellation.counted else "being counted"


def asked_for(scope: CancellationFilter) -> str:
    """Which runs a cancellation is for: “token onboarding-user_123, recipient ana”."""
    if scope.everything:
        return "all runs"
    lists = (
        ("run", [short(uid) for uid in scope.run_ids] or [str(pk) for pk in scope.run_pks or ()]),
        ("recipient", scope.recipients),
        ("tag", scope.tags),
    )
    single = {
        "token": scope.token, "key": scope.key, "automation": scope.automation,
        "invocation": scope.invocation and short(scope.invocation),
        "idempotency key": scope.idempotency_key, "source": scope.source,
        "started from": scope.created_after and clock(scope.created_after),
        "started until": scope.created_before and clock(scope.created_before),
        "due from": scope.due_after and clock(scope.due_after),
        "due before": scope.due_before and clock(scope.due_before),
    }  # fmt: skip
    parts = [f"{name} {value}" for name, value in single.items() if value is not None]
    for name, values in lists:
        if len(values) == 1:
            parts.append(f"{name} {values[0]}")
        elif values:
            parts.append(f"{len(values):,} {name}s")
    return ", ".join(parts)


def short(uid: UUID | str) -> str:
    """A run id to recognise: its first eight digits, which can be searched for, and its last four."""
    text = str(uid)
    return f"{text[:8]}…{text[-4:]}" if len(text) == 36 else text


def prevented_by_cancel(steps: Sequence[StepState], *, children: int = 0) -> list[str]:
    """What a cancel of an unfinished run will do, in sentences; it takes that many unfinished children along."""
    left = [step for step in steps if step.status in ("pending", "waiting") and step.action != "delay"]
    ahead = [step for step in left if not has_begun(step)]
    ran = [step for step in steps if step.status == "completed" and step.action != "delay"]
    sentences = [f"{listed(*ahead)} will not run." if ahead else "No further step of this run will start."]
    sentences += [
        f"{listed(step)} has started and may still finish; nothing after it starts."
        for step in steps if step.status == "running"
    ]  # fmt: skip
    sentences += [f"{listed(step)} {_begun(step, children)}." for step in left if has_begun(step)]
    if children:
        sentences.append(f"{_of_its(children)} cancelled too.")
    if ran:
        sentences.append(f"{listed(*ran)} already ran and {'are' if len(ran) > 1 else 'is'} not undone.")
    return sentences


def has_begun(step: StepState) -> bool:
    """Whether a step that waits was tried before, or has started a run."""
    return bool(step.attempts or step.output)


def tries(step: StepState) -> str:
    """“was tried once”, “was tried 3 times”."""
    return f"was tried {'once' if step.attempts == 1 else f'{step.attempts} times'}"


def _begun(step: StepState, children: int) -> str:
    if step.attempts:
        return f"{tries(step)} and will not be tried again"
    return "has started its child" if children else "has started its child, which goes on"


def _of_its(children: int) -> str:
    if children == 1:
        return "The run that it started is"
    number = f"{MOST_CHILDREN:,} or more" if children > MOST_CHILDREN else f"{children:,}"
    return f"The {number} runs that were started by it, or beneath it, are"


def after_cancel(outcome: str | None) -> str:
    """What came of a step that was in flight at the cancel."""
    return _OUTCOMES[(outcome or "").removesuffix("_after_cancel")]


_OUTCOMES = {
    "": "it may still finish; nothing after it starts",
    "completed": "it finished afterwards",
    "failed": "it failed afterwards",
    "skipped": "it was skipped",
    "aborted": "it was called off before it did anything",
    "unknown": "its worker was lost: whether it had its effect is not known",
}


def cancelled_now(run: Run, in_flight: Sequence[InFlight]) -> str:
    """The promise, as the person who cancelled is told it."""
    cancellation = run.called_off_by
    if cancellation is None:
        raise ValueError(f"run {run.uid} is not cancelled")
    by = f"Cancelled {clock(cancellation.as_of)} by {who(cancellation.actor)}."
    if not in_flight:
        return f"{by} No further step of this run will start."
    return f"{by} {_started(in_flight)}."


def _started(in_flight: Sequence[InFlight]) -> str:
    return "; ".join(
        f"{step.name} had started at {clock(step.started_at)}, {step.outcome}" for step in in_flight
    )


def cancelled_many(cancellation: Cancellation) -> str:
    """The same of several runs: what had started in any of them is not hidden."""
    said = f"Cancelled {cancellation.cancelled:,} runs. No further step of them will start"
    if cancellation.in_flight is None:
        return f"{said}; steps that had started may still finish."
    started = len(cancellation.in_flight)
    steps = "1 step" if started == 1 else f"{started:,} steps"
    return f"{said}; {steps} had started and may still finish." if started else f"{said}."


def too_late(run: Run, in_flight: Sequence[InFlight]) -> str:
    """Why a cancel changed nothing, and what the one before it has left in flight."""
    cancellation, at = run.called_off_by, run.ended_at
    when = f" at {clock(at)}" if at is not None else ""
    if cancellation is not None:
        said = f"This run was already cancelled by {who(cancellation.actor)}{when}. Nothing was changed."
        return f"{said} {_started(in_flight)}." if in_flight else said
    return f"This run finished{when}, before the cancel. Nothing was changed."


def stamp(at: datetime) -> str:
    """ "2026-11-21T14:05:02.118Z": a moment in UTC as programs read it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def laid_out(value: Any) -> str:
    """JSON as one would write it by hand."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def clock(at: datetime) -> str:
    """ "14:05:02.118 UTC", in the zone of the page; "20 Nov 14:05:02.118 UTC" of another day than today."""
    local = timezone.localtime(at)
    return f"{dated(at)}{local:%H:%M:%S}.{local.microsecond // 1000:03d} {local.tzname()}"


def day(at: datetime) -> str:
    """ "20 Nov", in the zone of the page; with the year where it is not this one."""
    local = timezone.localtime(at)
    year = "" if local.year == timezone.localtime().year else f" {local.year}"
    return f"{local.day} {local:%b}{year}"


def dated(at: datetime, *, above: datetime | None = None) -> str:
    """ "20 Nov ", to stand before a time of day; empty on the day of what stands `above`, by default today."""
    is_same = timezone.localdate(at) == timezone.localdate(above)
    return "" if is_same else f"{day(at)} "


def listed(*steps: StepState) -> str:
    """“Step 3 Send”, “Steps 3 Send and 5 Send”."""
    names = [f"{step.index + 1} {called(step.action)}" for step in steps]
    if len(names) == 1:
        return f"Step {names[0]}"
    return f"Steps {', '.join(names[:-1])} and {names[-1]}"
