"""Statements that PostgreSQL plans once for a connection. SQLite's driver does so by itself, and is asked the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from automations.models import Cancellation, CancellationFilter, Kept, LiveRun, gate, kept
from automations.models.kept import ANY_OF, KEPT_AT_MOST, array
from automations.models.live_run_bars import cancelling
from automations.models.statements import fetch
from tests.models.crowd import analyse, crowd, indexes
from tests.scenes import DELAY, cancel_runs, invoke, production, run_of, status

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
NUMBER = "{} + CAST(%s AS integer)"


@pytest.fixture(autouse=True)
def _connection_of_its_own() -> Iterator[None]:
    connection.close()
    yield
    connection.close()


def prepared() -> dict[str, tuple[int, int]]:
    """What the connection has prepared: how often each was carried out by the plan that is kept, and otherwise."""
    if connection.vendor != "postgresql":
        return {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements")
        return {text.partition(" AS ")[2]: (used, other) for text, used, other in cursor.fetchall()}


def uses(number: int) -> tuple[int, int]:
    """How often `plus(number, …)` was carried out so; nothing of it on SQLite."""
    return prepared().get(f"SELECT {number} + CAST($1 AS integer)", (0, 0))


def on_postgresql(wanted: Any, *, else_: Any) -> Any:
    return wanted if connection.vendor == "postgresql" else else_


def answers(text: str, *values: Any) -> list[tuple[Any, ...]]:
    (rows,) = fetch([Kept(text, values)])
    return rows


def plus(number: int, other: int) -> int:
    ((found,),) = answers(f"SELECT {NUMBER.format(number)}", other)
    return int(found)


def test_behind_the_gate_every_plan_is_made_once() -> None:
    for _ in range(3):
        with gate(environment_id=production().pk):
            assert plus(1, 4) == 5
    assert uses(1) == on_postgresql((3, 0), else_=(0, 0))
    standing = [used for text, used in prepared().items() if "held_at" in text]
    assert standing == on_postgresql([(3, 0)], else_=[])


def test_it_answers_as_it_would_written_out() -> None:
    text = (
        f"SELECT '50 %%', CAST(%s AS varchar(40)), CAST(%s AS integer) IS NULL, 3 {ANY_OF[connection.vendor]}"
    )
    for _ in range(2):
        ((percent, said, absent, among),) = answers(text, "it's “%s” \\ ü", None, array([1, 2, 3]))
        assert (percent, said, bool(absent), bool(among)) == ("50 %", "it's “%s” \\ ü", True, True)
    ((*_, among),) = answers(text, "", 1, array([]))
    assert not among


def test_several_go_together_with_others() -> None:
    rows = fetch([
        Kept("SELECT 1"), ("SELECT CAST(%s AS integer)", [2]), Kept(f"SELECT {NUMBER.format(2)}", [1]),
    ])  # fmt: skip
    assert rows == [[(1,)], [(2,)], [(3,)]]


def test_over_a_new_connection_it_is_prepared_anew() -> None:
    for _ in range(2):
        assert plus(7, 1) == 8
        connection.close()


def test_what_cannot_be_prepared_is_the_database_s_error_and_not_remembered() -> None:
    for _ in range(2):
        with pytest.raises(DatabaseError), transaction.atomic():
            answers("SELECT it FROM nowhere WHERE x = %s", 1)
    assert plus(9, 1) == 10


def test_in_a_transaction_that_is_lost_nothing_is_remembered_wrongly() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        fetch([Kept(f"SELECT {NUMBER.format(11)}", [1]), ("SELECT it FROM nowhere", [])])
    assert plus(11, 1) == 12


def test_a_connection_keeps_no_more_than_so_many() -> None:
    assert [plus(number, 1) for number in range(KEPT_AT_MOST + 5)] == list(range(1, KEPT_AT_MOST + 6))
    assert len(prepared()) == on_postgresql(KEPT_AT_MOST, else_=0)


def test_behind_a_pooler_nothing_is_prepared(settings: Any) -> None:
    settings.PREPARED_STATEMENTS = False
    run = run_of(invoke(DELAY, token="t"))
    assert cancel_runs(token="t").cancelled == 1
    assert status(run) == "cancelled"
    assert answers("SELECT '%%', CAST(%s AS integer)", 1) == [("%", 1)]
    assert prepared() == {}


def test_a_start_beside_bars_is_planned_once_however_many_they_are() -> None:
    for bars in [], ["label:a", "source:b"], ["source:b", "key:c", "label:a"]:
        with gate(environment_id=production().pk) as passage:
            assert (
                LiveRun.objects.start(
                    environment_id=production().pk,
                    limit=9,
                    lease=timedelta(seconds=9),
                    now=passage.now,
                    bars=bars,
                )
                == []
            )
    starts = [text for text in prepared() if "WITH due" in text]
    assert len(starts) == on_postgresql(
        3, else_=0
    )  # with none, with some, and among those that are looked at
    assert len([text for text in starts if "unnest" in text]) == on_postgresql(1, else_=0)


def test_a_plan_is_made_anew_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an empty table any index is good enough: what was planned then must not go on when it is full."""
    with gate(environment_id=production().pk):
        assert [plus(5, number) for number in (1, 2)] == [6, 7]
        assert uses(5) == on_postgresql((2, 0), else_=(0, 0))
        monkeypatch.setattr(kept, "KEPT_SECONDS", 0.0)
        assert plus(5, 3) == 8
        assert uses(5) == on_postgresql((1, 0), else_=(0, 0))


def test_a_token_is_found_by_its_index_where_all_runs_share_another() -> None:
    run = run_of(invoke(DELAY, token="t"))
    with transaction.atomic():
        crowd(production(), now=run.created_at)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE automations_liverun SET token = 'x' WHERE token <> 't'")
    analyse()
    scope = CancellationFilter(token="t")
    assert indexes(cancelling(Cancellation(environment=production()), scope)) == {
        "live_run_token",
        "live_run_key",
    }
    assert cancel_runs(token="t").cancelled == 1
