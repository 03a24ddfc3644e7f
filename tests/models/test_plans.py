"""What a cancel and a start ask is found through an index, for every filter that a caller may give.

The exceptions stand here by name; docs/decisions/0013-what-no-index-finds.md says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
import pytest_django
from django.db import connection, transaction

from automations.models import (
    Automation,
    Cancellation,
    CancellationFilter,
    Environment,
    LiveRun,
    Run,
    counting,
    database_now,
    labels_of_bars,
    restoring,
    standing,
)
from automations.models.gate import BARRED
from automations.models.live_run_bars import (
    bars_over,
    cancelling,
    chunk_of,
    counting_finished,
    returning,
    sweeping,
)
from automations.models.statements import fetch
from tests.models.crowd import LIVE, analyse, bars, crowd, indexes, statement_of, walks
from tests.scenes import production

pytestmark = pytest.mark.django_db
CREATED = ("created_after", "created_before")


@pytest.fixture(scope="module")
def now(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[datetime]:
    """A moment at which production has a crowd of runs, and the environment `test` a few; rolled back after all."""
    with django_db_blocker.unblock(), transaction.atomic():
        now = database_now()
        crowd(production(), now=now)
        crowd(Environment.objects.get(key="test"), now=now, size=100)
        analyse()
        yield now
        transaction.set_rollback(True)


def fields(now: datetime) -> dict[str, dict[str, Any]]:
    """For each field that a filter may have one that a few runs of the crowd match, looked up."""
    rare = Automation.objects.get(environment=production(), key="a9")
    some = LiveRun.objects.within(production().pk).order_by("pk")[:3]
    return {
        "token": {"token": "t3000"},
        "key": {"key": "k1501"},
        "run_ids": {"run_pks": tuple(run.pk for run in some)},
        "recipients": {"recipients": ("r17", "r18")},
        "automation": {"automation_id": rare.pk},
        "invocation": {"invocation_pks": (some[0].invocation_id,)},
        "idempotency_key": {"invocation_pks": (some[2].invocation_id,)},
        "source": {"source": "ui/ana"},
        "tenant": {"tenant": "acme"},
        "tags": {"tags": ("vip",)},
        "created_after": {"created_after": now - timedelta(hours=4)},
        "created_before": {"created_before": now - timedelta(days=15) + timedelta(hours=4)},
        "due_after": {"due_after": now + timedelta(days=29.8)},
        "due_before": {"due_before": now + timedelta(hours=4)},
    }  # fmt: skip


PUT_ASIDE = "live_run_parked"  # an index of the held runs alone


def read_whole(scope: CancellationFilter, environment: Environment) -> list[str]:
    """What a cancel of that filter reads whole, of unfinished runs or of history."""
    receipt = Cancellation(environment=environment)
    statements = [counting(scope, environment_id=environment.pk, most=1_001), cancelling(receipt, scope)]
    # Nothing that has ended is due; SQLite's plans do not show that a condition is never true.
    if not (scope.due_after or scope.due_before):
        statements.append(counting_finished(receipt, scope))
    read = {walk.removeprefix("Seq ").removeprefix("SCAN ") for one in statements for walk in walks(one)}
    return sorted(walk for walk in read if "cancellation" not in walk and PUT_ASIDE not in walk)


def expected(names: Iterable[str]) -> bool:
    """Whether nothing but a walk over the unfinished runs finds what these fields name."""
    slow = CREATED if connection.vendor == "postgresql" else (*CREATED, "tags")
    return set(names) <= set(slow)


def test_every_field_and_every_two_are_found_through_an_index(now: datetime) -> None:
    given = fields(now)
    wrong: dict[tuple[str, ...], list[str]] = {}
    for names in (*combinations(given, 1), *combinations(given, 2)):
        scope = CancellationFilter(**{key: value for name in names for key, value in given[name].items()})
        read = read_whole(scope, production())
        if bool(read) != expected(names):
            wrong[names] = read
        if read and set(names) <= set(CREATED):
            assert [walk for walk in read if "automations_liverun" not in walk] == []  # never history
    assert wrong == {}


def test_each_counts_what_it_names(now: datetime) -> None:
    """By the index as without: against every run, looked at in Python."""
    runs = Run.objects.within(production()).exclude(status=None).select_related("invocation").order_by("pk")
    for run in (ended := list(runs.defer("profile", "invocation__data", "invocation__definition"))):
        vars(run).update(tags=run.invocation.tags, tenant=run.invocation.tenant)
    receipt, given = Cancellation(environment=production()), fields(now)
    given["created_before"] = {"created_before": now - timedelta(days=29)}
    given |= {"common source": {"source": "api/backend"}, "common tag": {"tags": ("trial", "none")}}
    given |= {
        "half": {"created_after": now - timedelta(days=20)},
        "automation": {"automation_id": ended[0].automation_id},
    }
    found = set()
    for names in (*combinations(given, 1), *combinations(given, 2)):
        scope = CancellationFilter(**{key: value for name in names for key, value in given[name].items()})
        expected = 0 if scope.due_after or scope.due_before else sum(scope.matches(run) for run in ended)
        unfinished = LiveRun.objects.within(production().pk).filter(scope.condition()).count()
        counts = [counting(scope, environment_id=production().pk, most=unfinished + more) for more in (0, 1)]
        assert fetch(counts) == [[(False, unfinished)], [(False, 0)]], names
        with transaction.atomic():
            _, ((finished,),) = fetch(
                [returning(cancelling(receipt, scope)), counting_finished(receipt, scope)]
            )
            transaction.set_rollback(True)
        assert (names, finished) == (names, expected)
        found.add(expected)
    assert len(found) > 12  # they do differ


def test_all_of_an_environment_is_not_all_of_the_table(now: datetime) -> None:
    test = Environment.objects.get(key="test")
    for scope in (CancellationFilter(everything=True), CancellationFilter(created_before=now)):
        read = read_whole(scope, test)
        assert [walk for walk in read if "environment" not in walk and "Index" not in walk] == []


def test_the_few_cancellations_that_still_matter_are_found_among_all_that_were(now: datetime) -> None:
    """What every gate, every cancel and every round of housekeeping asks, by an index of those few alone."""
    environment = production()
    bars(environment, standing=2, swept=3_000, now=now)
    analyse()
    unarchived = Cancellation.objects.filter(environment=environment, archived_at__isnull=True).order_by("pk")
    asked = {
        "unswept": [
            (f"SELECT {BARRED}", [environment.pk]), labels_of_bars(environment.pk),
            statement_of(standing(environment=environment)),
        ],
        "restoring": [restoring(environment.pk)],
        "unarchived": [statement_of(unarchived[:100])],
    }  # fmt: skip
    for name, statements in asked.items():
        assert [indexes(one) for one in statements] == [{f"cancellation_{name}"}] * len(statements)


@pytest.mark.parametrize("amount", [1, 100])
def test_a_start_finds_the_bars_over_its_runs_by_a_probe(now: datetime, amount: int) -> None:
    bars(production(), standing=amount, swept=3_000, now=now)
    analyse()
    pks = list(LiveRun.objects.values_list("pk", flat=True)[:64])
    assert walks(bars_over(pks)) == []


def test_a_sweep_goes_on_where_it_was(now: datetime) -> None:
    """Late in a bar over everything as much as early: it does not read again what it has swept."""
    reached = LiveRun.objects.order_by("pk").values_list("pk", flat=True)[LIVE - 500]
    for given in (
        {"everything": True},
        {"token": "t3000"},
        {"automation_id": fields(now)["automation"]["automation_id"]},
    ):
        scope = CancellationFilter(**given, up_to=10**9)
        bar = Cancellation(
            environment=production(), filter=scope.as_json(), swept_to=reached, as_of_run=10**9
        )
        assert walks(chunk_of(bar, limit=50)) == []
        assert walks(sweeping(bar, to=reached + 60)) == []
