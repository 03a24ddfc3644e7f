"""The one door: its written-out cancel does what the ORM's would, and the database refuses half-states."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Case, F, Value, When

from automations.execution import housekeeping
from automations.models import Cancellation, CancellationFilter, LiveRun, LiveState, Run, database_now
from tests.scenes import DELAY, SEND, expire_leases, invoke, production, run_of, start

pytestmark = pytest.mark.django_db


def reference_cancel(cancellation: Cancellation, scope: CancellationFilter, now: datetime) -> None:
    """What LiveRunQuerySet.cancel writes out, composed by the ORM."""
    quiet = When(state=LiveState.WAITING, unsettled__isnull=True, then=Value(LiveState.CANCELLED))
    unsettled = When(state=LiveState.WAITING, unsettled__isnull=False, then=Value(now))
    live = LiveRun.objects.within(cancellation.environment_id).filter(scope.condition())
    live.filter(state__in=(LiveState.WAITING, LiveState.RUNNING)).update(
        state=Case(quiet, default=Value(LiveState.CANCELLING)),
        due_at=Case(unsettled, default=F("due_at")),
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
    LiveRun.objects.cancel(
        cancellation=earlier, scope=CancellationFilter(run_pks=(gone.pk,)), now=earlier.as_of
    )
    return [*runs, gone]


def rows() -> list[Any]:
    columns = ("pk", "state", "due_at", "cancellation_id", "lease_until")
    return [tuple(row) for row in LiveRun.objects.order_by("pk").values_list(*columns)]


@pytest.mark.parametrize(
    "fields",
    [
        {"token": "a"}, {"token": "k"}, {"key": "k"}, {"token": "a", "key": "k"}, {"run_pks": "some"},
        {"token": "a", "not_invocation_id": "first"}, {"token": "nobody"}, {"run_pks": ()},
    ],
)  # fmt: skip
def test_the_written_out_cancel_equals_the_orm_s(fields: dict[str, Any]) -> None:
    runs = every_state()
    if fields.get("run_pks") == "some":
        fields = {"run_pks": tuple(run.pk for run in runs[::2])}
    if "not_invocation_id" in fields:
        fields = {**fields, "not_invocation_id": runs[0].invocation_id}
    scope = CancellationFilter(**fields)
    cancellation = Cancellation(environment=production(), as_of=database_now())
    now = database_now()
    with transaction.atomic():
        reference_cancel(cancellation, scope, now)
        expected = rows()
        transaction.set_rollback(True)
    moved, _ = LiveRun.objects.cancel(cancellation=cancellation, scope=scope, now=now)
    assert rows() == expected
    mine = LiveRun.objects.filter(cancellation=cancellation.pk).order_by("pk")
    assert [(pk, state) for pk, _, state in moved] == list(mine.values_list("pk", "state"))


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
    assert indexed == {
        "environment_id", "due_at", "token", "key", "recipient", "automation_id", "invocation_id",
        "concurrency_key",
    }  # fmt: skip
    conditions = {str(index.condition) for index in LiveRun._meta.indexes if index.condition}
    assert conditions == {
        "(AND: ('token__isnull', False))", "(AND: ('key__isnull', False))", "(AND: ('recipient__isnull', False))",
        "(AND: ('unsettled__isnull', False))", "(AND: ('concurrency_key__isnull', False))",
    }  # fmt: skip
