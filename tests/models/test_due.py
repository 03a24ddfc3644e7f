"""How long until there is something to do, of many environments and whatever is late."""

from __future__ import annotations

from datetime import timedelta

import pytest

from automations.models import Environment, LiveRun, database_now, what_is_due
from tests.captured import Captured
from tests.models.crowd import analyse, crowd, walks
from tests.scenes import DELAY, SEND, expire_leases, invoke, make_due, production, run_of, start

pytestmark = pytest.mark.django_db

MANY = 100  # environments, of which PostgreSQL would rather read all runs than ask of each


def test_where_nothing_waits_there_is_no_time() -> None:
    assert what_is_due().seconds is None


def test_the_run_that_waits_shortest_tells_the_time() -> None:
    invoke(DELAY, SEND)
    shortest = run_of(invoke(DELAY, SEND))
    LiveRun.objects.filter(pk=shortest.pk).update(due_at=database_now() + timedelta(seconds=40))
    assert what_is_due().seconds == pytest.approx(40, abs=5)


def test_a_lease_that_ran_out_is_due_now() -> None:
    invoke(SEND)
    start()
    assert what_is_due().seconds is None
    invoke(DELAY, SEND)
    expire_leases()
    assert what_is_due().seconds == 0


def test_beside_a_lease_that_ran_out_what_is_overdue_still_tells_how_late_it_is() -> None:
    """By it the pump knows that there is a herd, and bounds it (issue 3, overdue herds)."""
    invoke(SEND)
    start()
    expire_leases()
    make_due(run_of(invoke(DELAY, SEND)))
    LiveRun.objects.filter(state="waiting").update(due_at=database_now() - timedelta(minutes=10))
    assert what_is_due().seconds == pytest.approx(-600, abs=5)


def test_of_many_environments_no_statement_reads_every_run() -> None:
    Environment.objects.bulk_create(Environment(key=f"e{number}") for number in range(MANY))
    now = database_now()
    crowd(production(), now=now)
    some = sorted(LiveRun.objects.values_list("pk", flat=True))[::20]
    LiveRun.objects.filter(pk__in=some).update(due_at=now - timedelta(hours=1))
    analyse()
    with Captured() as captured:
        what_is_due(also_owed=True)
    (sql,) = [query["sql"] for query in captured]
    whole = ("Seq Scan of automations_liverun", "SCAN automations_liverun")
    assert [walk for walk in walks((sql, ())) if walk.startswith(whole)] == []
