"""The steps of a run, read from its log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from automations.definition import parse
from automations.timeline import Now, StepState, outcomes_of, steps_of

T0 = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
SEND = {"action": "send", "message": {"content": {"body": "hi"}}}
DELAY = {"action": "delay", "duration": "1 hour"}
DUE = T0 + timedelta(hours=1)
AT_ONCE = {"started_at": T0.isoformat(), "fence": 1}
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
    """However old its event is: the clock of its transaction may have been taken before the cancel's."""
    cancelled = Now(status="cancelled", ended_at=T0 + timedelta(seconds=1), listed={1: "0"})
    events = [Logged("invoked"), Logged("step_completed", "0", 1, T0, {**AT_ONCE, "output": {"a": 1}})]
    first, second = states(events, cancelled, SEND, SEND)
    assert (first.status, first.output, first.outcome_after_cancel) == (
        "completed",
        {"a": 1},
        "completed_after_cancel",
    )
    assert second.status == "cancelled"


def test_a_step_that_ended_before_the_cancel_has_no_outcome_after_it() -> None:
    """However young its event is: the clock of its transaction may have been taken after the cancel's."""
    events = [Logged("invoked"), Logged("step_completed", "0", 1, DUE, AT_ONCE)]
    cancelled = Now(status="cancelled", ended_at=T0 + timedelta(seconds=1))
    first, _ = states(events, cancelled, SEND, SEND)
    assert (first.status, first.outcome_after_cancel) == ("completed", None)


def test_a_lost_attempt_of_a_cancelled_run_that_answers_late() -> None:
    settling = Now(status="cancelled", ended_at=T0, listed={1: "0"}, open=frozenset({1}))
    cancelled = replace(settling, open=frozenset())
    late = T0 + timedelta(seconds=9)
    events = [
        Logged("reaped", "0", 1, late, {**AT_ONCE, "next": "waiting", "error": {"kind": "x"}}),
        Logged("late_result", "0", 1, late, {"outcome": "completed", "fence": 1}),
    ]  # fmt: skip
    (in_flight,) = states(events[:1], settling, SEND)
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
        Logged("late_result", "0", 1, DUE, {"outcome": "failed", "fence": 1}),
    ]  # fmt: skip
    (step,) = states(events, Now(status="completed"), SEND)
    assert (step.status, step.output, step.finished_at, step.outcome_after_cancel) == (
        "completed",
        2,
        T0,
        None,
    )


def test_what_became_of_a_lost_attempt_is_told_of_a_step_that_was_done_again() -> None:
    events = [
        Logged("reaped", "0", 1, T0, {**AT_ONCE, "next": "waiting"}),
        Logged("step_completed", "0", 2, T0, {**AT_ONCE, "fence": 2, "output": 2}),
        Logged("settled", "0", 1, DUE, {"outcome": "unknown", "fence": 1}),
    ]  # fmt: skip
    (step,) = states(events, Now(status="cancelled", ended_at=T0, listed={1: "0"}), SEND)
    assert (step.status, step.output, step.finished_at) == ("completed", 2, T0)
    assert step.outcome_after_cancel == "unknown"


def test_of_two_attempts_in_flight_the_step_tells_the_last_one_s_outcome() -> None:
    lost = Logged("reaped", "0", 1, T0, {**AT_ONCE, "next": "waiting"})
    late = Logged("late_result", "0", 1, DUE, {"outcome": "completed", "fence": 1})
    failed = Logged("step_failed", "0", 2, DUE, {**AT_ONCE, "fence": 2, "error": {"kind": "x"}})
    settled = Now(status="cancelled", ended_at=T0, listed={1: "0", 2: "0"})
    for events in ([lost, late, failed], [lost, failed, late]):
        (step,) = states(events, settled, SEND)
        assert (step.status, step.outcome_after_cancel) == ("failed", "failed_after_cancel")
        assert outcomes_of(events, settled) == {1: "completed_after_cancel", 2: "failed_after_cancel"}
    settling = replace(settled, position="0", attempt=2, started_at=DUE, open=frozenset({2}))
    (step,) = states([lost, late], settling, SEND)
    assert (step.status, step.finished_at, step.outcome_after_cancel) == ("running", None, None)


def test_an_attempt_that_ended_without_a_word_never_had_an_effect() -> None:
    settling = Now(
        status="cancelled", position="0", attempt=1, started_at=T0, listed={1: "0"}, open=frozenset({1})
    )
    (step,) = states([Logged("invoked")], settling, SEND)
    assert (step.status, step.outcome_after_cancel) == ("running", None)
    (step,) = states([Logged("invoked")], Now(status="cancelled", position="0", listed={1: "0"}), SEND)
    assert (step.status, step.outcome_after_cancel) == ("cancelled", "aborted")


def test_a_step_that_failed_with_its_worker_has_an_end() -> None:
    events = [Logged("reaped", "0", 1, DUE, {**AT_ONCE, "next": "failed", "error": {"kind": "worker_lost"}})]
    (step,) = states(events, Now(status="failed", ended_at=DUE), SEND)
    assert (step.status, step.started_at, step.finished_at) == ("failed", T0, DUE)


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
