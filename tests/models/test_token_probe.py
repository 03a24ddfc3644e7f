"""Many tokens looked up in one statement find what as many queries would, through the index."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from automations.models import Environment, Run, runs_with
from automations.models.token_probe import PROBE
from tests.scenes import DELAY, invoke, production

pytestmark = pytest.mark.django_db
TOKENS = ["a", "a", "A", "a ", "ab", "a-b", "a-c", "é", "%", "_", "\\", "'", '"', "\U0001f600"]


def reference(values: list[str], prefixes: list[str]) -> list[int]:
    runs = Run.objects.within(production())
    newest = [
        runs.filter(token=value).order_by("-pk").values_list("pk", flat=True).first() for value in values
    ]
    longest = [
        max(runs.filter(token__has_prefix=prefix).values_list("token", "pk"), key=lambda row: (row[0].encode(), row[1]),
            default=(None, None))[1]
        for prefix in prefixes
    ]  # fmt: skip
    return sorted({pk for pk in (*newest, *longest) if pk is not None})


@pytest.mark.parametrize(
    ("values", "prefixes"),
    [([], []), (["a"], []), (TOKENS, []), (["none"], ["a"]), (["a", "x"], ["a-", "none", "%", "_", "\\"])],
)
def test_it_finds_what_the_orm_finds(values: list[str], prefixes: list[str]) -> None:
    for token in TOKENS:
        invoke(DELAY, token=token)
    invoke(DELAY, token="a", environment=Environment.objects.get(key="test"))
    found = runs_with("token", environment_id=production().pk, values=values, prefixes=prefixes)
    assert found == reference(values, prefixes)


def test_it_searches_keys_and_nothing_else() -> None:
    invoke(DELAY, key="k")
    assert runs_with("key", environment_id=production().pk, values=["k"]) == [Run.objects.get().pk]
    with pytest.raises(ValueError, match="recipient"):
        runs_with("recipient", environment_id=1, values=[])


@pytest.mark.parametrize("column", ["token", "key"])
def test_the_index_is_used(column: str) -> None:
    statement = PROBE[connection.vendor].format(column=column)
    given: list[Any] = [1, ["a"], ["a"]]
    if connection.vendor == "sqlite":
        statement, given = f"EXPLAIN QUERY PLAN {statement}", [1, '["a"]', '["a"]']
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # the table is empty
            statement = f"EXPLAIN {statement}"
        cursor.execute(statement, given)
        plan = " ".join(str(part) for row in cursor.fetchall() for part in row)
    assert f"run_{column}" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_it_costs_one_statement(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        runs_with("token", environment_id=1, values=["a"] * 60, prefixes=["a-"])
