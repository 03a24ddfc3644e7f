"""The one door: its written-out cancel does what the ORM's would, and the database refuses half-states."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Case, Value, When

from automations.execution import housekeeping
from automations.models import (
    Cancellation,
    CancellationFilter,
    LiveRun,
    LiveState,
    Run,
    database_now,
    gate,
    kept,
)
from automations.models.live_run_moves import Claim, at
from automations.models.live_run_parking import PARK
from automations.models.statements import insert
from tests.captured import Captured
from tests.scenes import DELAY, SEND, expire_leases, invoke, production, publish, run_of, start

pytestmark = pytest.mark.django_db


def reference_cancel(cancellation: Cancellation, scope: CancellationFilter) -> None:
    """What LiveRunQuerySet.cancel writes out, composed by the ORM."""
    quiet = When(state=LiveState.WAITING, unsettled__isnull=True, then=Value(LiveState.CANCELLED))
    live = LiveRun.objects.within(cancellation.environment_id).filter(scope.condition())
    live.filter(state__in=scope.states).update(
        state=Case(quiet, default=Value(LiveState.CANCELLING)),
        cancellation=cancellation.pk,
    )


def every_state() -> list[Run]:
    """Runs waiting, running, waiting with an unsettled attempt, and called off before, with tokens and keys."""
    runs = [
        run_of(invoke(DELAY, SEND, token=token, key=key)) for token in ("a", "b") for key in ("a", "k", None)
    ]
    lost = run_of(invoke(SEND, token="a"))
    start()
    expire_leases()
    housekeeping.reap(production())
    LiveRun.objects.filter(pk=lost.pk).update(due_at=database_now().replace(year=2040))
    runs += [lost, run_of(invoke(SEND, token="a", key="k"))]
    start()
    gone = run_of(invoke(DELAY, token="a"))
    earlier = Cancellation(environment=production(), as_of=database_now())
    LiveRun.objects.cancel(cancellation=earlier, scope=CancellationFilter(run_pks=(gone.pk,)))
    return [*runs, gone]


def rows() -> list[Any]:
    columns = ("pk", "state", "due_at", "cancellation_id", "lease_until")
    return [tuple(row) for row in LiveRun.objects.order_by("pk").values_list(*columns)]


def varied() -> list[Run]:
    """`every_state()`, and runs that differ in everything else that a filter can name."""
    runs = every_state()
    publish("one", {"steps": [DELAY, SEND]})
    for recipient, source, tags, tenant in [
        ("r1", "api/a", ["x", "y"], "acme"),
        ("r2", "api/b", ["y"], None),
        ("r3", "api/a", ["z"], "acme"),
    ]:
        given = {"recipients": [recipient], "source": source, "tags": tags, "tenant": tenant}
        runs.append(run_of(invoke(DELAY, SEND, token="a", **given)))
        runs.append(run_of(invoke(definition=None, automation="one", source=source, recipients=[recipient])))
    moved = database_now() + timedelta(days=2)
    LiveRun.objects.filter(pk__in=[run.pk for run in runs[-3:]]).update(due_at=moved)
    LiveRun.objects.filter(pk__in=[run.pk for run in runs[:4]]).update(created_at=moved - timedelta(days=9))
    return runs


FILTERS: list[Callable[[list[Run]], dict[str, Any]]] = [
    lambda runs: {"token": "a"},
    lambda runs: {"token": "k"},
    lambda runs: {"key": "k"},
    lambda runs: {"token": "a", "key": "k"},
    lambda runs: {"token": "nobody"},
    lambda runs: {"token": "a", "not_invocation_id": runs[0].invocation_id},
    lambda runs: {"token": "a", "up_to": runs[3].pk},
    lambda runs: {"run_pks": tuple(run.pk for run in runs[::2])},
    lambda runs: {"run_pks": ()},
    lambda runs: {"recipients": ("r1", "r3", "nobody")},
    lambda runs: {"recipients": ("r1",), "automation_id": runs[-1].automation_id},
    lambda runs: {"automation_id": runs[-1].automation_id},
    lambda runs: {"invocation_pks": (runs[0].invocation_id, runs[-1].invocation_id)},
    lambda runs: {"invocation_pks": ()},
    lambda runs: {"source": "api/a"},
    lambda runs: {"tenant": "acme"},
    lambda runs: {"tenant": "acme", "recipients": ("r1",), "token": "a"},
    lambda runs: {"tags": ("x", "z"), "token": "a"},
    lambda runs: {"source": "api/a", "tags": ("y",)},
    lambda runs: {"created_after": database_now() - timedelta(days=1), "token": "a"},
    lambda runs: {"created_before": database_now() - timedelta(days=1)},
    lambda runs: {"due_after": database_now() + timedelta(days=1)},
    lambda runs: {"due_before": database_now() + timedelta(days=1), "token": "a"},
    lambda runs: {"everything": True},
]


@pytest.mark.parametrize("number", range(len(FILTERS)))
def test_a_filter_means_the_same_however_it_is_asked(number: int) -> None:
    runs = varied()
    scope = CancellationFilter(**FILTERS[number](runs))
    assert CancellationFilter.from_json(json.loads(json.dumps(scope.as_json()))) == scope
    if scope.due_after is None and scope.due_before is None:
        matching = {live.pk for live in LiveRun.objects.all() if scope.matches(live)}
        assert matching == set(LiveRun.objects.filter(scope.condition()).values_list("pk", flat=True))
    cancellation = Cancellation(environment=production(), as_of=database_now())
    with transaction.atomic():
        reference_cancel(cancellation, scope)
        expected = rows()
        transaction.set_rollback(True)
    hit = LiveRun.objects.cancel(cancellation=cancellation, scope=scope)
    assert rows() == expected
    mine = LiveRun.objects.filter(cancellation=cancellation.pk).order_by("pk")
    assert [(pk, state) for pk, _, state in hit.moved] == list(mine.values_list("pk", "state"))


def test_every_field_of_a_filter_is_tried() -> None:
    runs = varied()
    tried = {name for given in FILTERS for name in given(runs)}
    looked_up = {"run_ids", "automation", "invocation", "idempotency_key"}
    assert tried | looked_up == {field.name for field in fields(CancellationFilter)}


@pytest.mark.parametrize(
    "change",
    [
        {"state": "running"},
        {"state": "waiting", "lease_until": "now"},
        {"state": "cancelled"},
        {"state": "sleeping"},
    ],
)
def test_the_database_refuses_half_a_state(change: dict[str, Any]) -> None:
    run = run_of(invoke(DELAY))
    if "lease_until" in change:
        change = {**change, "lease_until": database_now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        LiveRun.objects.filter(pk=run.pk).update(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "completed"},
        {"status": "waiting", "finished_at": "now"},
        {"token": ""},
        {"token": "  "},
        {"key": " "},
    ],
)
def test_the_database_refuses_a_run_that_is_half_ended_or_has_a_blank_token(change: dict[str, Any]) -> None:
    run = run_of(invoke(DELAY))
    if "finished_at" in change:
        change = {**change, "finished_at": database_now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(**change)


def test_starting_and_cancelling_are_heap_only_updates() -> None:
    """State, lease, fence, attempt and cancellation are in no index and in no index's condition."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "automations_liverun")
    indexed = {column for item in found.values() if item["index"] for column in item["columns"]}
    assert indexed - {"tags"} == {  # which PostgreSQL alone has an index of
        "environment_id", "due_at", "token", "key", "recipient", "automation_id", "invocation_id", "source",
        "concurrency_key", "tenant",
    }  # fmt: skip
    conditions = {str(index.condition) for index in LiveRun._meta.indexes if index.condition}
    assert conditions == {
        "(AND: ('token__isnull', False))",
        "(AND: ('key__isnull', False))", "(AND: ('tenant__isnull', False))", "(AND: ('recipient__isnull', False))",
        "(AND: ('unsettled__isnull', False))", "(AND: ('concurrency_key__isnull', False))",
        "(AND: ('parent__isnull', False))",
        "(AND: ('parked_due_at__isnull', False))",
    }  # fmt: skip


@pytest.mark.parametrize("statement", ["park", "parked"])
def test_held_runs_are_found_through_an_index(statement: str) -> None:
    """Those that are due by their time, those put aside by a partial index, which is empty where nothing is held."""
    lock = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    now = at(database_now())
    sql, given, index = {
        "park": (PARK.format(lock=lock), [1, now, 1, 9, now], "live_run_due"),
        "parked": (
            "SELECT run_id FROM automations_liverun"
            " WHERE environment_id = %s AND automation_id = %s AND parked_due_at IS NOT NULL",
            [1, 1],
            "live_run_parked",
        ),
    }[statement]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # the table is empty
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{explain} {sql}", given)
        plan = " ".join(str(part) for row in cursor.fetchall() for part in row)
    assert index in plan


def live_rows_read() -> int:
    """How many live rows this transaction has read so far, on PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'automations_liverun'"
        )
        return int(cursor.fetchone()[0])


def a_crowd_like(run: Run, *, size: int) -> None:
    """So many more live rows, which are due as that one is."""
    others = [field.attname for field in LiveRun._meta.concrete_fields if not field.primary_key]
    (row,) = LiveRun.objects.filter(pk=run.pk).values(*others)
    assert row["state"] == LiveState.WAITING
    insert(LiveRun(**row, pk=run.pk + number) for number in range(1, size + 1))


def started_by_a_turn() -> list[Claim]:
    with gate(environment_id=production().pk) as passage:
        return LiveRun.objects.start(
            environment_id=production().pk, limit=64, lease=timedelta(seconds=9), now=passage.now
        )


def test_a_start_reads_no_more_due_runs_than_it_starts_whatever_is_known_of_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a table without statistics PostgreSQL supposes that few are due, and would sort all of them at each turn. Nor
    does it go by what it planned for a table without rows."""
    on_postgresql = connection.vendor == "postgresql"
    with monkeypatch.context() as anew:
        anew.setattr(kept, "KEPT_SECONDS", 0.0)
        assert started_by_a_turn() == []
    a_crowd_like(run_of(invoke(SEND)), size=30_000 if on_postgresql else 100)
    before = live_rows_read() if on_postgresql else 0
    with Captured() as captured:
        assert len(started_by_a_turn()) == 64
    with connection.cursor() as cursor:
        if on_postgresql:
            assert live_rows_read() - before <= 2 * 64
            cursor.execute("SHOW enable_sort")
            assert cursor.fetchone() == ("on",)
        else:
            (text,) = (query["sql"] for query in captured if "WITH due" in query["sql"])
            plan = [str(row[3]) for row in cursor.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()]
            assert not [line for line in plan if "TEMP B-TREE" in line]
