"""What the pages ask of many runs is found through an index, also while bars stand over some of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import pytest_django
from django.db import transaction

from automations.models import (
    Cancellation,
    Environment,
    LiveRun,
    Run,
    RunQuerySet,
    database_now,
    insert,
    spared,
    standing,
)
from tests.captured import Captured
from tests.models.crowd import analyse, bars, crowd, indexes, statement_of, walks
from tests.scenes import production

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def now(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[datetime]:
    """A moment at which production has a crowd of runs, two bars over a few of them, and a swept cancellation."""
    with django_db_blocker.unblock(), transaction.atomic():
        now = database_now()
        crowd(production(), now=now)
        crowd(Environment.objects.get(key="test"), now=now, size=4_000)
        bars(production(), standing=0, swept=3_000, now=now)
        insert(
            Cancellation(
                environment=production(), actor="key/backend", origin="api", filter={"token": f"t{number}"},
                bar=None if number == 3_002 else f"label:t{number}", as_of=now, counted=False,
                swept_at=now if number == 3_002 else None,
            )
            for number in (3_000, 3_001, 3_002)
        )  # fmt: skip
        LiveRun.objects.filter(token="t3002").update(state="cancelled", cancellation=_swept())
        analyse()
        yield now
        transaction.set_rollback(True)


def _swept() -> Cancellation:
    return Cancellation.objects.get(filter__token="t3002")


@pytest.mark.parametrize("status", ["cancelled", "failed", "running"])
def test_the_runs_in_a_status_are_counted_through_an_index(now: datetime, status: str) -> None:
    environment = production()
    here = list(standing(environment=environment))
    counted = Run.objects.within(environment).count_in_status(
        status, environment=environment, most=10_001, bars=here
    )
    asked = Environment.objects.filter(pk=environment.pk).values_list(counted)
    of_children_alone = "live_run_child"  # an index of the few that have a parent
    assert [walk for walk in walks(statement_of(asked)) if of_children_alone not in walk] == []
    found = Run.objects.within(environment).in_status(status, environment=environment, most=10_001, bars=here)
    assert asked.get()[0] == found.count()
    if status == "cancelled":
        both = LiveRun.objects.filter(environment=environment, token__in=("t3000", "t3001", "t3002"))
        assert sorted(found.values_list("pk")) == sorted(both.values_list("pk"))


def test_runs_of_the_last_hours_are_found_by_their_keys(now: datetime) -> None:
    """The bound stands in the statement, so that a planner knows how few are behind it."""
    recent = Run.objects.within(production()).since(now - timedelta(hours=4))
    assert walks(statement_of(recent.order_by("-pk"))) == []
    assert recent.count() == Run.objects.filter(
        environment=production(), created_at__gte=now - timedelta(hours=4)
    ).count()  # fmt: skip
    assert recent.count() > 0
    assert not Run.objects.since(now + timedelta(days=1)).exists()


def test_what_a_bar_over_everything_calls_off_is_not_read(now: datetime) -> None:
    last = Run.objects.newest_pk()
    everything = Cancellation(environment=production(), filter={"everything": True, "up_to": last})
    waiting = LiveRun.objects.within(production().pk).filter(state="waiting")
    left = spared(waiting, bars=[everything], environment=production())
    assert f'"run_id" > {last}' in str(left.query)
    assert (waiting.exists(), left.exists()) == (True, False)


def test_old_runs_with_a_common_beginning_are_found_through_the_index(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many that are not among the newest are not met soon by reading newest first."""
    monkeypatch.setattr("automations.models.run_search.FEW", 10)
    monkeypatch.setattr("automations.models.run_search.LOOKED_AT", 100)
    runs = Run.objects.within(production())
    found = runs.found_by("t1", environment=production(), fields=["token"])
    assert "CASE" not in str(found.query)
    assert found.count() == runs.filter(token__startswith="t1").count() > 500
    monkeypatch.setattr("automations.models.run_search.LOOKED_AT", 8_000)
    soon = runs.found_by("t1", environment=production(), fields=["token"])
    assert "CASE" in str(soon.query)
    assert soon.count() == found.count()
    monkeypatch.setattr("automations.models.run_search.LOOKED_AT", 100)
    monkeypatch.setattr("automations.models.run_search.MET", 50)
    among_themselves = runs.found_by("t1", environment=production(), fields=["token"])
    newest = max(found.values_list("pk", flat=True))
    assert f'"id" <= {newest}' in str(among_themselves.query)
    assert newest < Run.objects.newest_pk() - 100
    assert among_themselves.count() == found.count()


def test_whether_runs_are_met_soon_is_asked_of_the_newest_alone(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the index of what they begin with SQLite would begin at the oldest."""
    monkeypatch.setattr("automations.models.run_search.FEW", 10)
    # Fewer than there are, or PostgreSQL might as well read them all.
    monkeypatch.setattr("automations.models.run_search.LOOKED_AT", 1_000)
    with Captured() as asked:
        Run.objects.within(production()).found_by("api/", environment=production(), fields=["source"])
    (soon,) = [query["sql"] for query in asked if "LIMIT 500" in query["sql"]]
    assert indexes((soon.replace("%", "%%"), ())) <= {"run_newest", "automations_run_pkey"}


@pytest.mark.parametrize("status", ["waiting", "running", "cancelled"])
def test_an_older_page_of_a_status_bounds_each_table_it_reads(now: datetime, status: str) -> None:
    """A planner that knew the bound of one alone would read the other from its end."""
    here, middle = list(standing(environment=production())), Run.objects.newest_pk() // 2

    def found(runs: RunQuerySet) -> RunQuerySet:
        return runs.in_status(status, environment=production(), most=10_001, bars=here)

    runs = Run.objects.within(production())
    older = found(runs.bounded(pk__lt=middle).exclude(pk=0))
    assert f'"run_id" < {middle}' in str(older.query)
    assert f'"id" < {middle}' in str(older.query)
    assert set(older.values_list("pk")) == {(pk,) for (pk,) in found(runs).values_list("pk") if pk < middle}


def test_few_runs_that_are_due_soon_are_named(now: datetime) -> None:
    """Or a planner might meet them newest first, behind all others."""
    soon = now + timedelta(hours=2)
    found = Run.objects.within(production()).waking(environment=production(), before=soon)
    assert "SELECT" not in str(found.query).partition("WHERE")[2]
    waiting = LiveRun.objects.filter(environment=production(), state="waiting", due_at__lt=soon)
    assert set(found.values_list("pk")) == set(waiting.values_list("pk"))
    assert 10 < found.count() < 100
