"""Starting, performing and finishing steps."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from automations import execution, expressions, testpoints
from automations.expressions import ExpressionError
from automations.models import (
    Environment,
    Event,
    Invocation,
    LiveRun,
    No,
    Refusal,
    Version,
    database_now,
    definitions,
    steps_of_run,
)
from tests.captured import Captured
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    make_due,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db


def test_a_run_goes_from_step_to_step_to_its_end() -> None:
    run = run_of(invoke(SEND, DELAY, SEND))
    assert work_off() == 1
    assert (read(run).public_status, read(run).live.position) == ("waiting", "2")
    make_due(run)
    assert work_off() == 1
    ended = read(run)
    assert (ended.public_status, ended.status_reason, ended.has_errors) == ("completed", "end", False)
    assert LiveRun.objects.count() == 0
    assert list(run.events.values_list("kind", "step")) == [
        ("invoked", ""), ("step_completed", "0"), ("step_completed", "2"),
    ]  # fmt: skip
    assert [(step.id, step.status, step.attempts) for step in steps_of_run(ended)] == [
        ("0", "completed", 1), ("1", "completed", 0), ("2", "completed", 1),
    ]  # fmt: skip


def test_the_console_records_the_interpolated_message_on_the_run() -> None:
    run = run_of(invoke(SEND, recipients=["ada"]))
    work_off()
    output = run.events.get(kind="step_completed").data["output"]
    assert (output["channel"], output["title"], output["body"], output["recipient"]) == (
        "console", "Hi", "Hello u1", "ada",
    )  # fmt: skip


def test_start_takes_the_oldest_due_first_and_no_more_than_there_is_room_for() -> None:
    runs = [run_of(invoke(SEND, data={"user_id": str(n)})) for n in range(3)]
    now = database_now()
    for run, seconds in zip(runs, (1, 3, 2), strict=True):
        LiveRun.objects.filter(pk=run.pk).update(due_at=now - timedelta(seconds=seconds))
    tasks = start(room=2)
    assert [task.claim.run_id for task in tasks] == [runs[1].pk, runs[2].pk]
    assert [status(run) for run in runs] == ["waiting", "running", "running"]


def test_nothing_is_started_before_its_time() -> None:
    invoke(DELAY, SEND)
    assert start() == []


def test_one_environment_s_runs_are_not_another_s() -> None:
    invoke(SEND)
    assert start(environment=Environment.objects.get(key="test")) == []


def test_a_started_run_carries_a_lease_and_a_fence() -> None:
    run = run_of(invoke(SEND))
    (task,) = start()
    live = read(run).live
    assert (live.state, live.attempt, live.fence) == ("running", 1, 1)
    assert live.started_at is not None
    assert live.lease_until == live.started_at + timedelta(seconds=15)
    assert (task.claim.attempt, task.claim.fence, task.claim.started_at) == (1, 1, live.started_at)


@pytest.mark.parametrize("place", ["version", "invocation"])
def test_a_run_whose_definition_cannot_be_read_any_more_fails_and_stops_nobody(place: str) -> None:
    definition = {"steps": [DELAY, SEND]}
    if place == "version":
        publish("old", definition)
        broken = run_of(invoke(automation="old", definition=None))
        Version.objects.update(definition={"steps": [{"action": "dance"}]})
    else:
        broken = run_of(invoke(DELAY, SEND))
        Invocation.objects.update(definition={"steps": [{"action": "dance"}]})
    definitions.forget()
    other = run_of(invoke(DELAY, SEND))
    make_due(broken, other)
    assert read(broken).public_status == "waiting"
    assert work_off() == 2
    ended = read(broken)
    assert (ended.public_status, ended.status_reason, status(other)) == ("failed", "step_failed", "completed")
    error = broken.events.get(kind="step_failed").data["error"]
    assert (error["kind"], error["message"][:15]) == ("invalid_definition", "/steps/0/action")
    assert steps_of_run(ended) == []


def test_a_version_that_cannot_be_read_any_more_is_not_invoked() -> None:
    publish("old", {"steps": [SEND]})
    Version.objects.update(definition={"steps": [{"action": "dance"}]})
    definitions.forget()
    with pytest.raises(Refusal, match="cannot be read any more; publish it anew") as refused:
        invoke(automation="old", definition=None)
    assert (refused.value.kind, refused.value.code) == (No.INVALID, "invalid_definition")


def test_a_condition_is_evaluated_after_the_start() -> None:
    run = run_of(invoke({**SEND, "if": "data.user_id === 'u2'"}, SEND))
    assert work_off() == 2
    steps = steps_of_run(read(run))
    assert [(step.status, step.skip_reason) for step in steps] == [
        ("skipped", "condition_false"),
        ("completed", None),
    ]


def test_a_condition_that_cannot_be_evaluated_fails_the_run() -> None:
    run = run_of(invoke({**SEND, "if": "data.a.b.c"}, SEND))
    work_off()
    failed = read(run)
    assert (failed.public_status, failed.status_reason, failed.has_errors) == ("failed", "step_failed", True)
    assert [step.status for step in steps_of_run(failed)] == ["failed", "pending"]


def test_a_failed_delivery_is_tried_again_later_and_then_fails_the_run() -> None:
    unreachable = {"webhook": {"url": "http://127.0.0.1:1/"}}
    message = {"content": {"body": "x"}, "to": unreachable}
    run = run_of(invoke({"action": "send", "message": message, "retry": {"max_attempts": 1}}))
    work_off()
    assert status(run) == "failed"
    error = run.events.get(kind="step_failed").data["error"]
    assert error["kind"] == "delivery"


def test_a_retryable_failure_waits_at_the_same_step(settings: object) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = ("127.0.0.1",)  # type: ignore[attr-defined]
    message = {"content": {"body": "x"}, "to": {"webhook": {"url": "http://127.0.0.1:1/"}}}
    run = run_of(invoke({"action": "send", "message": message, "retry": {"max_attempts": 2}}, SEND))
    assert work_off() == 1
    live = read(run).live
    assert (live.state, live.position, live.attempt) == ("waiting", "0", 1)
    assert 3 < (live.due_at - database_now()).total_seconds() <= 5
    (step, _) = steps_of_run(read(run))
    assert (step.status, step.attempts, step.due_at) == ("waiting", 1, live.due_at)
    make_due(run)
    assert work_off() == 1
    assert (status(run), read(run).status_reason) == ("failed", "step_failed")
    assert list(run.events.values_list("kind", flat=True)) == [
        "invoked", "step_retried", "step_failed",
    ]  # fmt: skip


def starve(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """No evaluator is free for any condition."""

    def busy(*_: object, **__: object) -> bool:
        raise ExpressionError(kind, "no evaluator became free in time")

    monkeypatch.setattr(expressions, "check_condition", busy)


@pytest.mark.parametrize("kind", ["busy", "starved"])
def test_a_step_that_finds_no_evaluator_is_made_later_and_uses_no_attempt_up(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(invoke({**SEND, "if": "true", "retry": {"max_attempts": 1}}))
    with monkeypatch.context() as patched:
        starve(patched, kind)
        for _ in range(3):
            assert work_off() == 1
            live = read(run).live
            assert (live.state, live.position, live.attempt) == ("waiting", "0", 0)
            assert 0 < (live.due_at - database_now()).total_seconds() <= 1
            make_due(run)
    assert work_off() == 1
    (step,) = steps_of_run(read(run))
    assert (status(run), step.status, step.attempts) == ("completed", "completed", 1)
    assert list(run.events.values_list("kind", flat=True)) == ["invoked", "step_completed"]


def test_nor_does_it_give_back_the_attempts_before(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(invoke({**SEND, "if": "true", "retry": {"max_attempts": 3}}))
    LiveRun.objects.update(attempt=1)
    with monkeypatch.context() as patched:
        starve(patched, "busy")
        assert work_off() == 1
    assert read(run).live.attempt == 1


def test_a_cancel_in_the_middle_of_a_step_lets_it_end_and_starts_nothing_more() -> None:
    run = run_of(invoke(SEND, SEND))
    (task,) = start()
    receipt = cancel_runs(run_pks=(run.pk,))
    assert (receipt.cancelled, status(run), read(run).is_settling) == (1, "cancelled", True)
    assert [(entry["step"], entry["action"], entry["attempt"]) for entry in receipt.in_flight] == [
        ("0", "send", 1)
    ]
    finish(execution.perform(task))
    assert (status(run), read(run).is_settling) == ("cancelled", False)
    assert start() == []
    assert [(step.status, step.outcome_after_cancel) for step in steps_of_run(read(run))] == [
        ("completed", "completed_after_cancel"), ("cancelled", None),
    ]  # fmt: skip


def test_a_failure_after_the_cancel_is_not_tried_again(settings: Any) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = ("127.0.0.1",)
    run = run_of(
        invoke(
            {
                "action": "send",
                "message": {"content": {"body": "x"}, "to": {"webhook": {"url": "http://127.0.0.1:1/"}}},
            }
        )
    )
    (task,) = start()
    cancel_runs(run_pks=(run.pk,))
    finish(execution.perform(task))
    assert status(run) == "cancelled"
    assert [step.outcome_after_cancel for step in steps_of_run(read(run))] == ["failed_after_cancel"]


def test_a_cancel_step_in_the_middle_cancels_others_with_its_own_transition() -> None:
    other = run_of(invoke(DELAY, token="other"))
    run = run_of(invoke(SEND, {"action": "cancel", "cancellation_token": "other"}, SEND))
    (task,) = start()
    finish(execution.perform(task))
    assert (status(other), status(run), read(run).live.position) == ("cancelled", "waiting", "2")
    folded = run.events.get(kind="step_completed").data["folded"]
    assert [(item["step"], item["token"], item["cancelled"]) for item in folded] == [("1", "other", 1)]


def test_a_cancel_step_of_a_run_that_was_cancelled_meanwhile_writes_nothing() -> None:
    other = run_of(invoke(DELAY, token="other"))
    run = run_of(invoke(SEND, {"action": "cancel", "cancellation_token": "other"}))
    (task,) = start()
    done = execution.perform(task)
    cancel_runs(run_pks=(run.pk,))
    finish(done)
    assert (status(other), status(run)) == ("waiting", "cancelled")


def test_a_cancel_step_that_is_due_after_a_delay_is_carried_out() -> None:
    other = run_of(invoke(DELAY, token="other"))
    run = run_of(invoke(DELAY, {"action": "cancel", "cancellation_token": "other"}))
    make_due(run)
    work_off()
    assert (status(other), status(run)) == ("cancelled", "completed")
    assert [step.status for step in steps_of_run(read(run))] == ["completed", "completed"]


def test_a_task_does_not_think_it_has_longer_than_the_database_does() -> None:
    run_of(invoke(SEND))
    done = execution.perform(start()[0])
    run_of(invoke(SEND))
    with testpoints.watched(lambda name: time.sleep(0.3) if name == "finish.moved" else None):
        (task,) = finish(done, room=5)
    there = database_now() - task.claim.started_at
    here = time.monotonic() - task.started
    assert 0 <= here - there.total_seconds() < 0.2


def test_a_step_that_must_not_be_made_twice_ends_its_run_when_its_worker_is_lost() -> None:
    run = run_of(invoke({**SEND, "on_crash": "fail"}))
    start()
    expire_leases()
    execution.keep_house(production())
    assert (status(run), read(run).status_reason, start()) == ("failed", "worker_lost", [])


def test_newly_due_steps_start_before_a_herd_of_overdue_ones() -> None:
    herd = [run_of(invoke(SEND, data={"user_id": str(n)})) for n in range(5)]
    for index, run in enumerate(herd):
        LiveRun.objects.filter(pk=run.pk).update(due_at=database_now() - timedelta(seconds=90 - index))
    fresh = run_of(invoke(SEND))
    first = execution.turn(environment=production(), done=[], room=3, late=1)
    assert [(task.run, task.is_late) for task in first] == [(str(fresh.uid), False), (str(herd[0].uid), True)]
    assert execution.turn(environment=production(), done=[], room=3, late=0) == []
    assert len(execution.turn(environment=production(), done=[], room=3, late=None)) == 3


def test_a_turn_costs_as_many_statements_for_fifty_runs_as_for_one() -> None:
    counts = []
    for amount in (1, 50):
        for n in range(amount):
            invoke(SEND, SEND, data={"user_id": str(n)})
        done = [execution.perform(task) for task in start()]
        with Captured() as captured:
            tasks = finish(*done, room=64)
        assert len(tasks) == amount
        counts.append(len(captured))
        finish(*[execution.perform(task) for task in tasks])
    assert counts == [8, 9]  # one more where not all of their invocations are kept
    assert Event.objects.filter(kind="step_completed").count() == 102
