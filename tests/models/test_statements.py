"""The composed insert stores what Django's own would."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from automations.models import Cancellation, Event, Invocation, LiveRun, Run, insert, new_uid
from automations.models.statements import Wanted, drawing, drawn, fetch, row_of
from tests.scenes import production

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 14, 2, 11, 204_001, tzinfo=UTC)


def draw(*wanted: Wanted) -> list[list[int]]:
    (rows,) = fetch([drawing(*wanted)])
    return drawn(rows, *wanted)


def invocation(**given: Any) -> Invocation:
    base = {
        "environment": production(), "source": "api/ü", "dialect": "native", "actor": "key/a", "run_count": 1,
        "created_at": NOW, "definition": {"steps": []},
        "data": {"a": [1, None, {"b": "“x”"}], "big": 9007199254740993, "1e+21": "1e+21"},
    }  # fmt: skip
    return Invocation(**{**base, **given})


def stored(row: Any) -> dict[str, Any]:
    values = type(row).objects.filter(pk=row.pk).values().get()
    return {name: value for name, value in values.items() if name not in ("id", "uid")}


def test_rows_are_stored_as_bulk_create_stores_them() -> None:
    for amount in (1, 30):  # by INSERT and, on PostgreSQL, by COPY
        mine, theirs = [invocation() for _ in range(amount)], [invocation() for _ in range(amount)]
        for row, pk in zip(mine, *draw((Invocation, amount)), strict=True):
            row.pk = pk
        insert(mine)
        Invocation.objects.bulk_create(theirs)
        assert [stored(row) for row in mine] == [stored(row) for row in theirs]
        assert {row.uid for row in mine} <= set(Invocation.objects.values_list("uid", flat=True))


def test_a_row_is_stored_as_the_object_that_it_stands_for() -> None:
    given: dict[str, Any] = {
        "uid": new_uid(), "environment_id": production().pk, "invocation_id": 1, "source": "api", "created_at": NOW,
        "due_at": NOW, "position": "1", "tags": ["a"],
    }  # fmt: skip
    insert([row_of(LiveRun, run_id=1, **given)])
    LiveRun.objects.create(run_id=2, **given)
    mine, theirs = LiveRun.objects.order_by("run_id").values()
    assert {**mine, "run_id": 2} == theirs
    with pytest.raises(TypeError, match="LiveRun has no automation, sources"):
        row_of(LiveRun, run_id=3, **given, automation=None, sources="typed wrong")


def test_a_row_supposes_no_default_that_has_to_be_made() -> None:
    """As the id of an invocation: all rows would have the same."""
    with pytest.raises(AttributeError, match="uid"):
        insert(
            [row_of(Invocation, source="api", dialect="native", actor="key/a", run_count=1, created_at=NOW)]
        )


def test_drawn_keys_are_fresh_and_in_order_and_leave_the_database_s_own_alone() -> None:
    (first,) = draw((Invocation, 3))
    assert first == sorted(first)
    for pk in first:
        insert([invocation(pk=pk)])
    own = invocation()
    own.save()
    assert own.pk > first[-1]
    assert draw((Invocation, 1))[0][0] > own.pk


def test_rows_of_several_models_go_together_each_after_what_it_refers_to() -> None:
    (parent_pk,), run_pks = draw((Invocation, 1), (Run, 2500))
    parent = invocation(pk=parent_pk)
    runs = [
        Run(
            pk=pk, environment=production(), invocation=parent, source="s", created_at=NOW, recipient=f"r{pk}"
        )
        for pk in run_pks
    ]
    insert([parent, *runs, Event(run=runs[0], at=NOW, kind="invoked")])
    assert dict(Run.objects.values_list("pk", "recipient")) == {run.pk: run.recipient for run in runs}
    assert Event.objects.get().run_id == runs[0].pk


def test_a_primary_key_of_our_own_is_kept() -> None:
    uid = new_uid()
    insert([Cancellation(
        id=uid, environment=production(), actor="a", origin="api", filter={"token": "t"}, as_of=NOW,
        matched=0, cancelled=0, already_finished=0,
    )])  # fmt: skip
    assert Cancellation.objects.get().pk == uid


def test_a_generator_and_nothing_are_accepted() -> None:
    insert(Event(run_id=1, at=NOW, kind="invoked") for _ in range(3))
    insert(Event(run_id=1, at=NOW, kind="invoked") for _ in range(7))
    insert([])
    assert Event.objects.count() == 10
