"""Reaping, settling, archiving and freeing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from automations import cancellation, execution
from automations.execution import housekeeping, roster
from automations.models import Cancellation, LiveRun, Worker, database_now, steps_of_run
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    production,
    read,
    run_of,
    start,
    status,
)

pytestmark = pytest.mark.django_db


def pass_deadlines(rows: Iterable[LiveRun] | None = None, *, ago: timedelta = timedelta(minutes=1)) -> None:
    """As if the hard deadline of the rows' unsettled attempts (None: of all) had passed so long ago."""
    past = (database_now() - ago).isoformat()
    for row in LiveRun.objects.filter(unsettled__isnull=False) if rows is None else rows:
        row.unsettled = [{**entry, "deadline": past} for entry in row.unsettled]
        LiveRun.objects.filter(pk=row.pk).update(unsettled=row.unsettled)


def test_a_lost_attempt_is_taken_back_and_counts_as_in_flight() -> None:
    run = run_of(invoke(SEND))
    start()
    expire_leases()
    assert housekeeping.reap(production()) == 1
    live = read(run).live
    assert (live.state, live.attempt, live.lease_until) == ("waiting", 1, None)
    assert [(entry["step"], entry["attempt"], entry["fence"]) for entry in live.unsettled] == [("0", 1, 1)]
    receipt = cancel_runs(run_pks=(run.pk,))
    assert [(entry["step"], entry["attempt"]) for entry in receipt.in_flight] == [("0", 1)]
    assert (status(run), read(run).is_settling) == ("cancelled", True)
    assert start() == []


def test_a_held_lease_is_not_taken_back() -> None:
    invoke(SEND)
    start()
    assert housekeeping.reap(production()) == 0


def test_a_step_that_loses_its_worker_again_and_again_is_given_up() -> None:
    run = run_of(invoke(SEND, SEND))
    for _ in range(3):
        assert len(start()) == 1
        expire_leases()
        housekeeping.reap(production())
    assert (status(run), read(run).status_reason, read(run).has_errors) == ("failed", "worker_lost", True)
    assert [step.status for step in steps_of_run(read(run))] == ["failed", "pending"]
    assert steps_of_run(read(run))[0].finished_at == read(run).finished_at


def test_an_unsettled_attempt_of_a_cancelled_run_ends_as_unknown_after_its_deadline() -> None:
    run = run_of(invoke(SEND, SEND))
    start()
    receipt = cancel_runs(run_pks=(run.pk,))
    expire_leases()
    execution.keep_house(production())
    assert cancellation.outstanding(receipt) == receipt.in_flight
    pass_deadlines()
    execution.keep_house(production())
    assert cancellation.outstanding(receipt) == []
    assert (status(run), read(run).is_settling) == ("cancelled", False)
    assert [(step.status, step.outcome_after_cancel) for step in steps_of_run(read(run))] == [
        ("failed", "unknown"), ("cancelled", None),
    ]  # fmt: skip


def test_a_big_cancellation_is_archived_afterwards_and_reads_the_same_before_and_after() -> None:
    runs = invoke(DELAY, token="t", recipients=[f"r{n}" for n in range(150)])
    receipt = cancel_runs(token="t")
    assert (receipt.cancelled, receipt.matched, receipt.counted, receipt.archived_at) == (
        150,
        150,
        True,
        None,
    )
    before = read(run_of(runs))
    assert (before.status, before.public_status, before.ended_at) == (None, "cancelled", receipt.as_of)
    execution.keep_house(production())
    after = read(run_of(runs))
    assert (after.status, after.public_status, after.ended_at) == ("cancelled", "cancelled", receipt.as_of)
    assert (after.called_off_by, before.called_off_by) == (receipt, receipt)
    assert LiveRun.objects.count() == 0
    assert Cancellation.objects.get().archived_at is not None


def test_counts_left_open_are_filled_in_after_archiving() -> None:
    runs = invoke(DELAY, token="t", recipients=[f"r{n}" for n in range(1000)])
    cancel_runs(run_pks=(run_of(runs).pk,))
    archive_all()
    invoke(DELAY, token="t", recipients=["a", "b"])
    receipt = cancel_runs(token="t")
    assert (receipt.cancelled, receipt.matched, receipt.already_finished, receipt.counted) == (
        None,
        None,
        None,
        False,
    )
    assert len(receipt.cancelled_run_ids) == 1000
    archive_all()
    receipt.refresh_from_db()
    assert (receipt.matched, receipt.cancelled, receipt.already_finished, receipt.counted) == (
        1002,
        1001,
        1,
        True,
    )


def test_what_is_due_covers_steps_leases_lost_attempts_and_archives(django_assert_num_queries: Any) -> None:
    hour = 3600.001  # SQLite counts in days, which are good for 0.1 ms
    assert execution.what_is_due() == ({}, frozenset(), False)
    invoke(DELAY, token="t")
    assert 3590 < (execution.what_is_due().seconds or 0) < hour
    invoke(SEND)
    assert -5 < (execution.what_is_due().seconds or 0) <= 0
    start()
    assert 3590 < (execution.what_is_due().seconds or 0) < hour
    expire_leases()
    assert execution.what_is_due() == ({production().pk: 0}, frozenset(), False)
    execution.keep_house(production())
    assert execution.what_is_due().unsettled == {production().pk}
    finish(*[execution.perform(task) for task in start()])
    LiveRun.objects.update(unsettled=None)
    assert not execution.what_is_due().unsettled
    cancel_runs(token="t")
    with django_assert_num_queries(1):
        assert execution.what_is_due().unsettled


def test_expired_idempotency_keys_are_freed() -> None:
    accepted = invoke(DELAY, idempotency_key="k", fingerprint="f")
    execution.tidy()
    accepted.invocation.refresh_from_db()
    assert accepted.invocation.key_holder == "k"
    accepted.invocation.key_expires_at = database_now() - timedelta(seconds=1)
    accepted.invocation.save()
    execution.tidy()
    accepted.invocation.refresh_from_db()
    assert (accepted.invocation.key_holder, accepted.invocation.idempotency_key) == (None, "k")


def lost_by(worker: int | None, *, timeout: str = "30 seconds", amount: int = 1) -> list[LiveRun]:
    """Cancelled runs, each with an attempt that this worker lost."""
    runs = [run_of(invoke({**SEND, "timeout": timeout}, token="lost")) for _ in range(amount)]
    execution.turn(environment=production(), done=[], room=amount, worker=worker)
    expire_leases()
    while housekeeping.reap(production()):
        pass
    cancel_runs(token="lost")
    return list(LiveRun.objects.filter(pk__in=[run.pk for run in runs]).order_by("pk"))


def enlisted(name: str = "host/7/1", *, seen: timedelta = timedelta()) -> Worker:
    worker = Worker.objects.get(pk=roster.enlist(name=name, host="host", pid=7))
    worker.seen_at = database_now() - seen
    worker.save()
    return worker


def test_what_a_dead_worker_lost_is_settled_at_once() -> None:
    worker = enlisted()
    (row,) = lost_by(worker.pk)
    assert housekeeping.settle(production()) == 0
    roster.bury([worker])
    assert housekeeping.settle(production()) == 1
    row.refresh_from_db()
    assert (row.state, row.unsettled) == ("cancelled", None)


@pytest.mark.parametrize(
    ("seen", "settled"),
    [
        (timedelta(seconds=0), 1),  # awake after the deadline: it refuses to send
        (timedelta(seconds=75), 1),  # silent for a minute: nobody can reach it
        (timedelta(seconds=50), 0),  # silent since before the deadline: frozen perhaps, and soon killed
    ],
)
def test_a_deadline_settles_what_an_awake_or_unreachable_worker_lost(seen: timedelta, settled: int) -> None:
    worker = enlisted()
    lost_by(worker.pk)
    pass_deadlines(ago=timedelta(seconds=40))
    enlisted(seen=seen)
    assert housekeeping.settle(production()) == settled
    assert roster.overdue(roster.alive_on("host")) == ([] if settled else [worker])


def test_far_deadlines_do_not_keep_near_ones_from_settling() -> None:
    rows = lost_by(None, timeout="1 hour", amount=101)
    pass_deadlines(rows[-1:])
    assert housekeeping.settle(production()) == 1
    assert LiveRun.objects.filter(unsettled__isnull=False).count() == 100


def test_a_worker_enlists_once_beats_and_is_forgotten_when_silent() -> None:
    enlisted("gone/1/1", seen=timedelta(hours=1))
    pk = roster.enlist(name="host/7/1", host="host", pid=7)
    assert roster.enlist(name="host/7/1", host="host", pid=7) == pk
    execution.tidy()
    assert [worker.pk for worker in Worker.objects.all()] == [pk]
    assert roster.beat(pk, worked=False)
    assert Worker.objects.get().worked_at is None
    assert roster.beat(pk, worked=True)
    assert Worker.objects.get().worked_at == Worker.objects.get().seen_at
    Worker.objects.all().delete()
    assert not roster.beat(pk, worked=False)


def test_work_that_nobody_takes_is_noticed() -> None:
    run = run_of(invoke(SEND))
    assert not roster.is_idle_over_work()
    LiveRun.objects.filter(pk=run.pk).update(due_at=database_now() - timedelta(seconds=31))
    assert roster.is_idle_over_work()
    roster.beat(enlisted().pk, worked=True)
    assert not roster.is_idle_over_work()
