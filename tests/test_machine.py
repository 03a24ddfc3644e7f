"""Where a run goes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automations.definition import parse
from automations.expressions import Scope
from automations.machine import Plan, advance, after_failure, after_loss

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
SEND = {"action": "send", "message": {"content": {"body": "hi"}}}


def plan(*steps: dict[str, Any], position: str = "0", **data: Any) -> Plan:
    scope = Scope(data=data, profile={}, now=NOW, seed="s")
    return advance(definition=parse({"steps": list(steps)}), position=position, scope=scope, now=NOW)


def outcomes(planned: Plan) -> list[tuple[str, str]]:
    return [(carried.step.name, carried.outcome) for carried in planned.carried]


def test_an_effect_first_is_due_at_once() -> None:
    assert plan(SEND) == Plan(position="0", due_at=NOW, now=NOW)


def test_a_delay_rests_the_run_at_the_step_behind_it() -> None:
    planned = plan({"action": "delay", "duration": "2 hours"}, SEND)
    assert (planned.position, planned.due_at, planned.status) == ("1", NOW + timedelta(hours=2), None)
    assert outcomes(planned) == [("0", "waiting")]


@pytest.mark.parametrize(
    ("delay", "due"),
    [
        ({"duration": "refs.data.wait"}, NOW + timedelta(minutes=5)),
        ({"duration": "${`${data.n} days`}"}, NOW + timedelta(days=2)),
        ({"until": "2026-11-21T00:00:00Z"}, datetime(2026, 11, 21, tzinfo=UTC)),
        ({"until": "20261121T000000.000"}, datetime(2026, 11, 21, tzinfo=UTC)),
        ({"until": "refs.data.at"}, datetime(2026, 12, 24, 18, tzinfo=UTC)),
    ],
)
def test_a_delay_may_be_an_expression(delay: dict[str, str], due: datetime) -> None:
    planned = plan({"action": "delay", **delay}, SEND, wait="5 minutes", n=2, at="2026-12-24T18:00:00")
    assert (planned.position, planned.due_at) == ("1", due)


def test_a_moment_that_has_passed_is_now() -> None:
    planned = plan({"action": "delay", "until": "2020-01-01T00:00:00Z"}, SEND)
    assert (planned.position, planned.due_at) == ("1", NOW)


def test_a_delay_at_the_end_is_waited_for() -> None:
    planned = plan(SEND, {"action": "delay", "duration": "1 hour"}, position="1")
    assert (planned.position, planned.due_at, planned.status) == ("2", NOW + timedelta(hours=1), None)


def test_behind_the_last_step_the_run_is_completed() -> None:
    planned = plan(SEND, position="1")
    assert (planned.status, planned.status_reason, planned.has_errors) == ("completed", "end", False)


def test_a_step_whose_condition_is_false_is_passed_over() -> None:
    planned = plan(
        {"action": "delay", "duration": "1 day", "if": "data.slow === true"},
        {"action": "cancel", "cancellation_token": "t", "if": "false"},
        SEND,
    )
    assert (planned.position, planned.due_at) == ("2", NOW)
    assert outcomes(planned) == [("0", "skipped"), ("1", "skipped")]
    assert list(planned.cancels()) == []


def test_cancel_steps_are_planned_with_their_tokens() -> None:
    planned = plan(
        {"action": "cancel", "cancellation_token": "refs.data.a"},
        {"action": "cancel", "cancellation_token": "b-{{data.a}}"},
        a="x",
    )
    assert [sought.label for _, sought in planned.cancels()] == ["x", "b-x"]
    assert planned.status == "completed"


def test_a_cancel_that_includes_its_own_run_leaves_it_to_be_found() -> None:
    planned = plan({"action": "cancel", "cancellation_token": "t", "include_self": True})
    assert (planned.position, planned.due_at, planned.status) == ("1", NOW, None)


@pytest.mark.parametrize(
    ("step", "kind", "reason"),
    [
        ({"action": "cancel", "cancellation_token": "refs.data.missing"}, "unresolved", "expression_error"),
        ({"action": "delay", "duration": "refs.data.missing"}, "invalid_duration", "step_failed"),
        ({"action": "delay", "duration": "${'soon'}"}, "invalid_duration", "step_failed"),
        ({"action": "delay", "until": "${'2999-01-01'}"}, "invalid_until", "step_failed"),
        ({"action": "delay", "duration": "1 day", "if": "data.a.b.c"}, "runtime", "expression_error"),
    ],
)
def test_a_step_that_cannot_be_evaluated_fails_the_run_there(
    step: dict[str, str], kind: str, reason: str
) -> None:
    planned = plan(SEND, step, SEND, position="1")
    assert (planned.status, planned.status_reason, planned.has_errors) == ("failed", reason, True)
    assert planned.position == "1"
    assert outcomes(planned) == [("1", "failed")]
    assert planned.carried[-1].detail["error"]["kind"] == kind
    assert list(planned.cancels()) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "true"), ({"a": ["b", None]}, '{"a": ["b", null]}'), (1.5, "1.5"), (None, "nothing")],
)
def test_what_a_delay_resolved_to_is_shown_as_json(value: object, shown: str) -> None:
    planned = plan({"action": "delay", "duration": "refs.data.a"}, a=value)
    said = f"“duration” resolved to {shown}, which is not a text"
    assert planned.carried[-1].detail["error"]["message"] == said


def test_a_plan_follows_the_clock_of_its_transaction() -> None:
    later = NOW + timedelta(seconds=3)
    waits = plan({"action": "delay", "duration": "2 hours"}, SEND).at(later)
    assert waits.due_at == later + timedelta(hours=2)
    assert waits.carried[0].due_at == waits.due_at
    until = plan({"action": "delay", "until": "2026-11-21T00:00:00Z"}, SEND)
    assert until.at(later) == until


def test_what_came_before_a_failure_is_still_carried_out() -> None:
    planned = plan(
        {"action": "cancel", "cancellation_token": "t"},
        {"action": "cancel", "cancellation_token": "refs.data.missing"},
    )
    assert planned.status == "failed"
    assert [sought.label for _, sought in planned.cancels()] == ["t"]


def test_a_failed_effect_is_tried_again_until_its_attempts_are_used_up() -> None:
    step = parse({"steps": [SEND]}).steps[0]
    again = after_failure(step=step, attempt=1, retryable=True, now=NOW)
    assert again == Plan(position="0", due_at=NOW + timedelta(seconds=5), now=NOW)
    for last in (
        after_failure(step=step, attempt=3, retryable=True, now=NOW),
        after_failure(step=step, attempt=1, retryable=False, now=NOW),
    ):
        assert (last.status, last.status_reason) == ("failed", "step_failed")


def test_a_lost_attempt_is_tried_again_at_once_until_its_attempts_are_used_up() -> None:
    step = parse({"steps": [SEND]}).steps[0]
    assert after_loss(step=step, attempt=2, now=NOW) == Plan(position="0", due_at=NOW, now=NOW)
    last = after_loss(step=step, attempt=3, now=NOW)
    assert (last.status, last.status_reason, last.has_errors) == ("failed", "worker_lost", True)
