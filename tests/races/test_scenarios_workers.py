"""Workers known dead, awake or silent, and the attempts they lost: which of those may still have an effect."""

from __future__ import annotations

from datetime import timedelta

import pytest

from automations import execution
from automations.execution import housekeeping, roster
from automations.models import LiveRun, Worker, database_now
from tests.races.held import overlap
from tests.scenes import SEND, cancel_runs, expire_leases, invoke, production, run_of

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def enlisted(name: str, *, silent_for: timedelta = timedelta()) -> int:
    """The primary key of a worker last seen so long ago."""
    worker = roster.enlist(name=name, host="host", pid=7)
    Worker.objects.filter(pk=worker).update(seen_at=database_now() - silent_for)
    return worker


def settle() -> int:
    return housekeeping.settle(production())


def test_settling_judges_an_attempt_that_was_lost_meanwhile_by_its_own_worker() -> None:
    """T25: that one is silent and past its deadline, hence perhaps frozen between its check and its socket."""
    run = run_of(invoke(SEND, SEND, token="t"))
    dead, silent = enlisted("dead"), enlisted("silent", silent_for=timedelta(seconds=40))
    execution.turn(environment=production(), done=[], room=1, worker=dead)
    expire_leases()
    housekeeping.reap(production())
    roster.bury(Worker.objects.filter(pk=dead))
    execution.turn(environment=production(), done=[], room=1, worker=silent)
    LiveRun.objects.filter(pk=run.pk).update(started_at=database_now() - timedelta(seconds=50))
    receipt = cancel_runs(token="t")
    assert [entry["fence"] for entry in receipt.in_flight] == [1, 2]
    expire_leases()
    overlap(settle, lambda: housekeeping.reap(production()), at="gate.passed")
    row = LiveRun.objects.get(pk=run.pk)
    assert [entry["fence"] for entry in row.unsettled or ()] == [2]
    assert (settle(), row.state) == (0, "cancelling")
