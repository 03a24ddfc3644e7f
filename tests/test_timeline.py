"""The steps of a run, read from its log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from automations.definition import parse
from automations.timeline import Now, StepState, steps_of

T0 = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
SEND = {"action": "send", "message": {"content": {"body": "hi"}}}
DELAY = {"action": "delay", "duration": "1 hour"}
DUE = T0 + timedelta(hours=1)
AT_ONCE = {"started_at": T0.isoformat()}
WAITS = {"folded": [{"step": "0", "outcome": "waiting", "due_at": DUE.isoformat()}]}


@dataclass
class Logged:
    kind: str
    step: str = ""
    attempt: int = 0
    at: datetime = T0
    data: dict[str, Any] = field(default_factory=dict)


def states(events: list[Logged], now: Now, *steps: dict[str, Any]) -> list[StepState]:
    return steps_of(definition=parse({"steps": list(steps)}), events=events, now=now)


def test_a_run_that_waits_in_a_delay_shows_the_delay_waiting() -> None:
    now = Now(status="waiting", position="1", due_at=DUE)
    delay, send = states([Logged("invoked", data=WAITS)], now, DELAY, SEND)
    assert (delay.status, delay.due_at, delay.started_at, delay.finished_at) == ("waiting", DUE, T0, None)
    assert (send.status, send.due_at) == ("pending", None)


def test_a_delay_is_over_once_the_next_step_has_started() -> None:
    now = Now(status="running", position="1", attempt=1, started_at=DUE)
    delay, send = states([Logged("invoked", data=WAITS)], now, DELAY, SEND)
    assert (delay.status, delay.finished_at) == ("completed", DUE)
    assert (send.status, send.attempts, send.started_at) == ("running", 1, DUE)


def test_a_step_that_is_still_in_flight_after_a_cancel_is_running() -> None:
    now = Now(status="cancelled", position="0", attempt=1, started_at=T0, ended_at=DUE)
    first, second = states([Logged("invoked")], now, SEND, SEND)
    assert (first.status, first.outcome_after_cancel, second.status) == ("running", None, "cancelled")


def test_a_step_that_waits_for_another_attempt_says_why() -> None:
    now = Now(status="waiting", position="0", due_at=DUE)
    events = [Logged("step_retried", "0", 1, T0, {**AT_ONCE, "error": {"kind": "delivery"}})]
    (step,) = states(events, now, SEND)
    assert (step.status, step.attempts, step.due_at, step.error) == ("waiting", 1, DUE, {"kind": "delivery"})


def test_a_cancel_prevents_what_had_not_started() -> None:
    now = Now(status="cancelled", ended_at=T0 + timedelta(minutes=5))
    delay, send = states([Logged("invoked", data=WAITS), Logged("cancelled", "1")], now, DELAY, SEND)
    assert (delay.status, send.status) == ("cancelled", "cancelled")
    assert send.outcome_after_cancel is None


def test_a_step_that_ends_after_the_cancel_says_so() -> None:
    cancelled = Now(status="cancelled", ended_at=T0 + timedelta(seconds=1))
    events = [
        Logged("invoked"),
        Logged("step_completed", "0", 1, T0 + timedelta(seconds=2), {**AT_ONCE, "output": {"a": 1}}),
    ]  # fmt: skip
    first, second = states(events, cancelled, SEND, SEND)
    assert (first.status, first.output, first.outcome_after_cancel) == (
        "completed",
        {"a": 1},
        "completed_after_cancel",
    )
    assert second.status == "cancelled"


def test_a_step_that_ended_before_the_cancel_has_no_outcome_after_it() -> None:
    events = [Logged("invoked"), Logged("step_completed", "0", 1, T0, AT_ONCE)]
    cancelled = Now(status="cancelled", ended_at=T0 + timedelta(seconds=1))
    first, _ = states(events, cancelled, SEND, SEND)
    assert (first.status, first.outcome_after_cancel) == ("completed", None)


def test_a_lost_attempt_of_a_cancelled_run_that_answers_late() -> None:
    cancelled = Now(status="cancelled", ended_at=T0)
    late = T0 + timedelta(seconds=9)
    events = [
        Logged("reaped", "0", 1, late, {**AT_ONCE, "next": "waiting", "error": {"kind": "x"}}),
        Logged("late_result", "0", 1, late, {"outcome": "completed"}),
    ]  # fmt: skip
    (in_flight,) = states(events[:1], cancelled, SEND)
    assert (in_flight.status, in_flight.outcome_after_cancel) == ("running", None)
    (step,) = states(events, cancelled, SEND)
    assert (step.status, step.outcome_after_cancel, step.finished_at) == (
        "completed",
        "completed_after_cancel",
        late,
    )


def test_a_late_answer_does_not_change_a_step_that_was_done_again() -> None:
    events = [
        Logged("reaped", "0", 1, T0, {**AT_ONCE, "next": "waiting"}),
        Logged("step_completed", "0", 2, T0, {**AT_ONCE, "output": 2}),
        Logged("late_result", "0", 1, DUE, {"outcome": "failed"}),
    ]  # fmt: skip
    (step,) = states(events, Now(status="completed"), SEND)
    assert (step.status, step.output, step.finished_at, step.outcome_after_cancel) == (
        "completed",
        2,
        T0,
        None,
    )


def test_skipped_failed_and_cancelling_steps_are_told_apart() -> None:
    folded = [
        {"step": "0", "outcome": "skipped", "reason": "condition_false"},
        {"step": "1", "outcome": "completed", "token": "t", "cancelled": 2, "cancellation": "c"},
        {"step": "2", "outcome": "failed", "error": {"kind": "unresolved"}},
    ]
    cancel = {"action": "cancel", "cancellation_token": "t"}
    first, second, third, fourth = states(
        [Logged("invoked", data={"folded": folded})], Now(status="failed"), DELAY, cancel, cancel, SEND
    )
    assert (first.status, first.skip_reason) == ("skipped", "condition_false")
    assert (second.status, second.output) == (
        "completed",
        {"token": "t", "cancelled": 2, "cancellation": "c"},
    )
    assert (third.status, third.error) == ("failed", {"kind": "unresolved"})
    assert fourth.status == "pending"
