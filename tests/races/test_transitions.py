"""Transitions against each other on real connections: of two that exclude each other, one wins, and both say so."""

from __future__ import annotations

from typing import Any

import pytest

from automations import execution
from automations.execution import housekeeping
from automations.models import Event, LiveRun, Run
from tests.races.together import rounds, together
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    make_due,
    production,
    run_of,
    start,
    status,
    statuses,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@rounds(6)
def test_start_against_cancel() -> None:
    runs = [run_of(invoke(SEND, SEND, token="t", data={"user_id": str(n)})) for n in range(5)]
    tasks, receipt = together([lambda: start(), lambda: cancel_runs(token="t")])
    assert receipt.cancelled == 5
    assert {entry["run"] for entry in receipt.in_flight} == {task.run for task in tasks}
    assert start() == []
    finish(*[execution.perform(task) for task in tasks])
    assert [status(run) for run in runs] == ["cancelled"] * 5
    assert start() == []


@rounds(6)
def test_finish_against_cancel() -> None:
    runs = [run_of(invoke(SEND, DELAY, SEND, token="t", data={"user_id": str(n)})) for n in range(5)]
    done = [execution.perform(task) for task in start()]
    _, receipt = together([lambda: finish(*done), lambda: cancel_runs(token="t")])
    assert receipt.cancelled == 5
    execution.keep_house(production())
    assert [status(run) for run in runs] == ["cancelled"] * 5
    assert LiveRun.objects.count() == 0


@rounds(6)
def test_a_finish_that_ends_runs_against_cancel() -> None:
    runs = [run_of(invoke(SEND, token="t", data={"user_id": str(n)})) for n in range(5)]
    done = [execution.perform(task) for task in start()]
    _, receipt = together([lambda: finish(*done), lambda: cancel_runs(token="t")])
    execution.keep_house(production())
    statuses = [status(run) for run in runs]
    assert statuses.count("cancelled") == receipt.cancelled
    assert statuses.count("completed") == receipt.already_finished
    assert statuses.count("cancelled") + statuses.count("completed") == 5


@rounds(6)
def test_of_several_cancels_exactly_one_reports_a_run() -> None:
    runs = [run_of(invoke(DELAY, token="t", key=f"k{n}")) for n in range(6)]
    receipts = together([
        lambda: cancel_runs(token="t"), lambda: cancel_runs(token="t"), lambda: cancel_runs(key="k3"),
        lambda: cancel_runs(run_pks=(runs[4].pk, runs[5].pk)),
    ])  # fmt: skip
    reported = [uid for receipt in receipts for uid in receipt.cancelled_run_ids]
    assert sorted(reported) == sorted(str(run.uid) for run in runs)
    archive_all()
    assert Event.objects.filter(kind="cancelled").count() == 6


@rounds(6)
def test_two_workers_never_start_the_same_run() -> None:
    runs = [run_of(invoke(SEND, data={"user_id": str(n)})) for n in range(20)]
    started = together([lambda: start(room=15), lambda: start(room=15), lambda: start(room=15)])
    claimed = [task.claim.run_id for tasks in started for task in tasks]
    claimed += [task.claim.run_id for task in start()]
    assert sorted(claimed) == [run.pk for run in runs]


@rounds(6)
def test_reap_against_a_late_finish() -> None:
    run = run_of(invoke(SEND, DELAY))
    (done,) = [execution.perform(task) for task in start()]
    expire_leases()
    together([lambda: finish(done), lambda: housekeeping.reap(production())])
    live = Run.objects.with_state().get(pk=run.pk).live
    kinds = list(run.events.values_list("kind", flat=True))
    if "reaped" in kinds:
        assert (live.state, live.position, live.unsettled) == ("waiting", "0", None)
        assert kinds[-1] == "late_result"
    else:
        assert (live.state, live.position) == ("waiting", "2")


@rounds(6)
def test_reap_against_cancel() -> None:
    run = run_of(invoke(SEND, SEND))
    start()
    expire_leases()
    _, receipt = together([lambda: housekeeping.reap(production()), lambda: cancel_runs(run_pks=(run.pk,))])
    execution.keep_house(production())
    assert (status(run), receipt.cancelled) == ("cancelled", 1)
    assert [(entry["step"], entry["attempt"]) for entry in receipt.in_flight] == [("0", 1)]
    assert start() == []


@rounds(6)
def test_two_invokes_that_cancel_the_previous_leave_one() -> None:
    steps: list[dict[str, Any]] = [{"action": "cancel", "cancellation_token": "onboarding"}, DELAY, SEND]
    together([lambda: invoke(*steps, token="onboarding")] * 4)
    assert statuses() == ["cancelled", "cancelled", "cancelled", "waiting"]


@rounds(6)
def test_two_cancel_steps_that_hit_each_other_both_end() -> None:
    one = run_of(invoke(SEND, {"action": "cancel", "cancellation_token": "b"}, DELAY, token="a"))
    other = run_of(invoke(SEND, {"action": "cancel", "cancellation_token": "a"}, DELAY, token="b"))
    first, second = [execution.perform(task) for task in start()]
    together([lambda: finish(first), lambda: finish(second)])
    execution.keep_house(production())
    assert sorted([status(one), status(other)]) in (["cancelled", "waiting"], ["cancelled", "cancelled"])


@rounds(6)
def test_two_crossing_bulk_cancels_both_answer() -> None:
    for n in range(60):
        invoke(DELAY, token=f"t{n % 2}", key=f"k{n % 3}")
    receipts = together([
        lambda: cancel_runs(token="t0"), lambda: cancel_runs(key="k1"), lambda: cancel_runs(token="t1"),
    ])  # fmt: skip
    assert sum(receipt.cancelled or 0 for receipt in receipts) == 60


@rounds(6)
def test_concurrent_duplicates_of_one_invoke_make_one_run() -> None:
    accepted = together([lambda: invoke(DELAY, idempotency_key="k", fingerprint="f")] * 4)
    assert len({item.invocation.pk for item in accepted}) == 1
    assert sorted(item.replayed for item in accepted) == [False, True, True, True]
    assert Run.objects.count() == 1


@rounds(6)
def test_archive_against_archive() -> None:
    invoke(DELAY, token="t", recipients=[f"r{n}" for n in range(120)])
    cancel_runs(token="t")
    together([lambda: execution.keep_house(production())] * 2)
    execution.keep_house(production())
    assert Event.objects.filter(kind="cancelled").count() == 120
    assert LiveRun.objects.count() == 0


@rounds(12)
def test_a_run_that_is_due_while_it_is_cancelled_is_never_started() -> None:
    run = run_of(invoke(DELAY, SEND, token="t"))
    make_due(run)
    tasks, receipt = together([lambda: start(), lambda: cancel_runs(token="t")])
    assert len(tasks) == len(receipt.in_flight)
    finish(*[execution.perform(task) for task in tasks])
    assert start() == []
