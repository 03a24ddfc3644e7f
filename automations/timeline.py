"""From a definition and a run's events to the steps of the run, as people and APIs see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from automations.definition import Definition


class LoggedEvent(Protocol):
    """What the timeline reads of an event."""

    kind: str
    step: str
    attempt: int
    at: datetime
    data: Any


@dataclass(frozen=True, kw_only=True)
class Now:
    """How the run stands: its public status, where it rests, the attempt under way (0 for none) and since
    when, and when the run ended (UTC). Of one that was called off, by fence, the steps of the attempts that the
    receipt lists, and which attempts are not known to have ended."""

    status: str
    position: str | None = None
    due_at: datetime | None = None
    attempt: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    listed: Mapping[int, str] = field(default_factory=dict)
    open: frozenset[int] = frozenset()


@dataclass(kw_only=True)
class StepState:
    """One step. `status`: pending, waiting, running, completed, failed, skipped or cancelled (prevented)."""

    index: int
    id: str
    action: str
    status: str = "pending"
    attempts: int = 0
    due_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output: Any = None
    error: Any = None
    skip_reason: str | None = None
    outcome_after_cancel: str | None = None


def steps_of(*, definition: Definition, events: Iterable[LoggedEvent], now: Now) -> list[StepState]:
    """The state of every step, in order. `events` are the run's, oldest first."""
    steps = {
        step.name: StepState(index=index, id=step.name, action=step.action)
        for index, step in enumerate(definition.steps)
    }
    logged = list(events)
    passed = _passed_over(logged)
    for event in logged:
        _apply_elsewhere(steps, event)
        for folded in event.data.get("folded", ()):
            _apply_folded(steps, folded, event.at)
        state = steps.get(event.step)
        if state is not None:
            _apply(state, event, now=now, is_passed=str(state.index) in passed)
    ordered = list(steps.values())
    _close_delays(ordered, now)
    if now.position is not None and int(now.position) < len(ordered):
        _place(ordered, ordered[int(now.position)], now)
    if now.status == "cancelled":
        for state in ordered:
            if state.status in ("pending", "waiting"):
                state.status = "cancelled"
    for fence, outcome in sorted(outcomes_of(logged, now).items()):
        if now.listed[fence] in steps:  # of several attempts at a step the last one's
            steps[now.listed[fence]].outcome_after_cancel = outcome
    return ordered


def outcomes_of(events: Iterable[LoggedEvent], now: Now) -> dict[int, str | None]:
    """By fence, what became of the attempts that the receipt lists; None of one that is not known to have ended."""
    said = {
        event.data.get("fence"): outcome_of(event.kind, event.data) for event in events if event.kind in ENDS
    }
    # What ended without leaving an event never had an effect: the run was called off before it.
    return {fence: None if fence in now.open else said.get(fence, "aborted") for fence in now.listed}


def outcome_of(kind: str, data: Mapping[str, Any]) -> str:
    """What an event of ENDS says became of an attempt that was in flight at a cancel."""
    outcome = str(data["outcome"] if kind in _LATE else _ENDED[kind])
    return outcome if outcome == "unknown" else f"{outcome}_after_cancel"


_ENDED = {
    "step_completed": "completed", "step_skipped": "skipped", "step_failed": "failed",
    "step_retried": "failed",  # what it was to be tried again for will not happen
}  # fmt: skip
_LATE = ("late_result", "settled")
ENDS = (*_ENDED, *_LATE)


def _place(steps: list[StepState], resting: StepState, now: Now) -> None:
    """The step at which the run stands: under way, or waiting for its time."""
    if now.attempt:
        resting.status, resting.attempts, resting.started_at = "running", now.attempt, now.started_at
        resting.due_at = resting.finished_at = resting.error = None
    elif now.status == "waiting" and (resting.attempts or not _behind_wait(steps, resting.index)):
        resting.status, resting.due_at = "waiting", now.due_at


def _apply(state: StepState, event: LoggedEvent, *, now: Now, is_passed: bool) -> None:
    """One event of one step. One that was in flight at a cancel is not tried again, even if that was undone
    (`is_passed`): what became of it is known late, perhaps."""
    data: Mapping[str, Any] = event.data
    fence = data.get("fence")
    if event.kind in _ATTEMPTS and "started_at" in data:  # a step left out after a hold never started
        state.attempts, state.started_at = event.attempt, datetime.fromisoformat(data["started_at"])
        state.due_at = state.error = None
    match event.kind:
        case "step_completed":
            state.status, state.finished_at, state.output = "completed", event.at, data.get("output")
        case "step_failed":
            state.status, state.finished_at, state.error = "failed", event.at, data.get("error")
        case "step_skipped":
            state.status, state.finished_at, state.skip_reason = "skipped", event.at, data.get("reason")
        case "step_retried":
            state.status, state.error = "waiting", data.get("error")
        case "reaped":
            # Of a run called off meanwhile the attempt counts as in flight until it is settled.
            state.status, state.error = "running" if fence in now.open else data["next"], data.get("error")
            if state.status == "failed":
                state.finished_at = event.at
        case "late_result" | "settled" if (
            fence in now.listed or is_passed
        ) and event.attempt == state.attempts:
            _end_late(state, event)
        case "child_ended":
            state.status, state.finished_at = "completed", event.at
            state.output = {name: data[name] for name in ("run", "status")}
        case "carried":
            state.output, state.error, state.skip_reason = (
                data.get("output"),
                data.get("error"),
                "carried_over",
            )


def _end_late(state: StepState, event: LoggedEvent) -> None:
    """What became of a step whose run went on without it, or was called off."""
    data: Mapping[str, Any] = event.data
    unknown = data["outcome"] == "unknown"
    state.status, state.finished_at = "failed" if unknown else data["outcome"], event.at
    state.output, state.error = data.get("output"), data.get("error") or state.error


_ATTEMPTS = frozenset({*_ENDED, "reaped"})


def _apply_folded(steps: Mapping[str, StepState], folded: Mapping[str, Any], at: datetime) -> None:
    state = steps.get(folded["step"])
    if state is None:
        return
    state.status = folded["outcome"]
    state.started_at = at
    if "due_at" in folded:
        state.due_at = datetime.fromisoformat(folded["due_at"])
        return
    if "run" in folded:
        state.output = {"run": folded["run"]}
    if state.status == "waiting":
        return
    state.finished_at = at
    state.error = folded.get("error")
    state.skip_reason = folded.get("reason")
    if said := {name: folded[name] for name in _TOLD if name in folded}:
        state.output = said


_TOLD = (
    *("token", "run_id", "filter", "cancellation", "cancelled"),  # of a cancel
    *("recipient", "merge", "members"),  # of a changed profile
)


def _apply_elsewhere(steps: Mapping[str, StepState], event: LoggedEvent) -> None:
    """What is true of other steps than the event's own: those before the first of a replay, a delay in which the
    run waits until another time now, and the step that an undo passes over."""
    data: Mapping[str, Any] = event.data
    if event.kind == "invoked" and "from_step" in data:
        for state in list(steps.values())[: data["from_step"]]:
            state.status, state.skip_reason = "skipped", "not_replayed"
    if event.kind == "restored" and "passed" in data:
        for state in steps.values():
            if str(state.index) == data["from"]:
                _pass_over(state, event)
    elif event.kind in ("rescheduled", "restored"):
        was, now = (datetime.fromisoformat(data[name]) for name in ("was_due_at", "due_at"))
        for state in steps.values():
            if _is_delay_before(state, data["position"]) and state.due_at == was:
                state.due_at = now


def _passed_over(events: Iterable[LoggedEvent]) -> frozenset[str]:
    """The places of the steps that were in flight at a cancel that was undone."""
    undone = (event.data for event in events if event.kind == "restored")
    return frozenset(data["from"] for data in undone if data.get("passed") == "in_flight")


def _pass_over(state: StepState, event: LoggedEvent) -> None:
    """A step in flight keeps its outcome, also one that is known only later; one whose time had come is skipped."""
    if event.data["passed"] == "skipped":
        state.status, state.finished_at, state.skip_reason = "skipped", event.at, "undone"
    elif state.status in ("pending", "waiting", "running"):
        state.status, state.finished_at = "failed", event.at


def _is_delay_before(state: StepState, position: str) -> bool:
    return state.action == "delay" and state.status == "waiting" and position == str(state.index + 1)


def _close_delays(steps: list[StepState], now: Now) -> None:
    """A delay is over once its time has come and the run has gone on, or was due to."""
    for state in steps:
        if state.action != "delay" or state.status != "waiting" or state.due_at is None:
            continue
        resting = (
            now.status == "waiting" and now.position == str(state.index + 1) and now.due_at == state.due_at
        )
        prevented = now.status == "cancelled" and now.ended_at is not None and now.ended_at < state.due_at
        if not resting and not prevented:
            state.status, state.finished_at = "completed", state.due_at


def _behind_wait(steps: list[StepState], index: int) -> bool:
    """Whether the step before it is a delay, or a child, that has not ended."""
    return (
        index > 0 and steps[index - 1].action in ("delay", "invoke") and steps[index - 1].status == "waiting"
    )
