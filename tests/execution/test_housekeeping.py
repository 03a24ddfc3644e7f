"""Reaping, settling, archiving and freeing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations import cancellation, execution
from automations.execution import housekeeping
from automations.models import Cancellation, LiveRun, Worker, database_now, steps_of_run
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    invoke,
    production,
    read,
    run_of,
    start,
    status,
)

pytestmark = pytest.mark.django_db


def pass_deadlines() -> None:
    """As if the hard deadline of every unsettled attempt had passed a minute ago."""
    past = (database_now() - timedelta(minutes=1)).isoformat()
    for row in LiveRun.objects.filter(unsettled__isnull=False):
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
        1001,
        None,
        None,
        False,
    )
    assert len(receipt.cancelled_run_ids) == 1000
    archive_all()
    receipt.refresh_from_db()
    assert (receipt.matched, receipt.already_finished, receipt.counted) == (1002, 1, True)


def test_the_next_due_moment_covers_steps_leases_and_archives(django_assert_num_queries: Any) -> None:
    assert execution.seconds_to_due() is None
    invoke(DELAY, token="t")
    assert 3590 < (execution.seconds_to_due() or 0) <= 3600
    invoke(SEND)
    assert -5 < (execution.seconds_to_due() or 0) <= 0
    start()
    assert 3590 < (execution.seconds_to_due() or 0) <= 3600
    expire_leases()
    assert execution.seconds_to_due() == 0
    execution.keep_house(production())
    start()
    cancel_runs(token="t")
    with django_assert_num_queries(1):
        assert execution.seconds_to_due() == 0


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


def test_a_beat_is_recorded_once_per_process_and_old_ones_are_forgotten() -> None:
    now = database_now()
    Worker.objects.create(name="gone/1", host="gone", pid=1, started_at=now, seen_at=now - timedelta(hours=1))
    execution.beat(pid=7, started_at=now)
    execution.beat(pid=7, started_at=now + timedelta(seconds=5))
    execution.tidy()
    worker = Worker.objects.get()
    assert (worker.pid, worker.started_at) == (7, now)
