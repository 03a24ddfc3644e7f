"""Statements that PostgreSQL plans once for a connection."""

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


@pytest.fixture
def _on_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's driver keeps them by itself")


def prepared() -> dict[str, tuple[int, int]]:
    """What the connection has prepared: how often each was carried out by the plan that is kept, and otherwise."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements")
        return {text.partition(" AS ")[2]: (kept, other) for text, kept, other in cursor.fetchall()}


def answers(text: str, *values: Any) -> list[tuple[Any, ...]]:
    (rows,) = fetch([Kept(text, values)])
    return rows


@pytest.mark.usefixtures("_on_postgresql")
def test_behind_the_gate_every_plan_is_made_once() -> None:
    for _ in range(3):
        with gate(environment_id=production().pk):
            assert answers(f"SELECT {NUMBER.format(1)}", 4) == [(5,)]
    assert prepared()["SELECT 1 + CAST($1 AS integer)"] == (3, 0)
    (standing,) = (text for text in prepared() if "held_at" in text)
    assert prepared()[standing] == (3, 0)


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
    rows = fetch(
        [Kept("SELECT 1"), ("SELECT CAST(%s AS integer)", [2]), Kept(f"SELECT {NUMBER.format(2)}", [1])]
    )
    assert rows == [[(1,)], [(2,)], [(3,)]]


def test_over_a_new_connection_it_is_prepared_anew() -> None:
    for _ in range(2):
        assert answers(f"SELECT {NUMBER.format(7)}", 1) == [(8,)]
        connection.close()


def test_what_cannot_be_prepared_is_the_database_s_error_and_not_remembered() -> None:
    for _ in range(2):
        with pytest.raises(DatabaseError), transaction.atomic():
            answers("SELECT it FROM nowhere WHERE x = %s", 1)
    assert answers("SELECT 1") == [(1,)]


def test_in_a_transaction_that_is_lost_nothing_is_remembered_wrongly() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        fetch([Kept(f"SELECT {NUMBER.format(11)}", [1]), ("SELECT it FROM nowhere", [])])
    assert answers(f"SELECT {NUMBER.format(11)}", 1) == [(12,)]


@pytest.mark.usefixtures("_on_postgresql")
def test_a_connection_keeps_no_more_than_so_many() -> None:
    for number in range(KEPT_AT_MOST + 5):
        assert answers(f"SELECT {NUMBER.format(number)}", 1) == [(number + 1,)]
    assert len(prepared()) == KEPT_AT_MOST


@pytest.mark.usefixtures("_on_postgresql")
def test_behind_a_pooler_nothing_is_prepared(settings: Any) -> None:
    settings.PREPARED_STATEMENTS = False
    run = run_of(invoke(DELAY, token="t"))
    assert cancel_runs(token="t").cancelled == 1
    assert status(run) == "cancelled"
    assert answers("SELECT '%%', CAST(%s AS integer)", 1) == [("%", 1)]
    assert prepared() == {}


@pytest.mark.usefixtures("_on_postgresql")
def test_a_start_beside_bars_whose_text_depends_on_their_number_is_not_kept() -> None:
    for bars in [], ["label:a"], ["label:a", "key:b"]:
        with gate(environment_id=production().pk) as passage:
            LiveRun.objects.start(
                environment_id=production().pk,
                limit=9,
                lease=timedelta(seconds=9),
                now=passage.now,
                bars=bars,
            )
    starts = [text for text in prepared() if "WITH due" in text]
    assert starts != []
    assert [text for text in starts if "FALSE AS suspect" not in text] == []


@pytest.mark.usefixtures("_on_postgresql")
def test_a_plan_is_made_anew_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an empty table any index is good enough: what was planned then must not go on when it is full."""
    with gate(environment_id=production().pk):
        assert [answers(f"SELECT {NUMBER.format(5)}", number) for number in (1, 2)] == [[(6,)], [(7,)]]
        assert prepared()["SELECT 5 + CAST($1 AS integer)"] == (2, 0)
        monkeypatch.setattr(kept, "KEPT_SECONDS", 0.0)
        assert answers(f"SELECT {NUMBER.format(5)}", 3) == [(8,)]
        assert prepared()["SELECT 5 + CAST($1 AS integer)"] == (1, 0)


@pytest.mark.usefixtures("_on_postgresql")
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
