"""What SQLite is told of the tables that grow."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.models import UniqueConstraint

from automations.models.sqlite_statistics import ROWS, tell_sqlite

pytestmark = pytest.mark.django_db


def known() -> dict[str, dict[str, tuple[int, ...]]]:
    """What stands in the database, by table and index."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT tbl, idx, stat FROM sqlite_stat1")
        for table, index, counts in cursor.fetchall():
            found.setdefault(table, {})[index] = tuple(map(int, counts.split()))
    return found


def test_every_index_of_these_tables_is_told_of_in_all_its_columns() -> None:
    for table, told in ROWS.items():
        with connection.cursor() as cursor:
            there = connection.introspection.get_constraints(cursor, table)
        (model,) = (model for model in apps.get_models() if model._meta.db_table == table)
        unique = [each for each in model._meta.constraints if isinstance(each, UniqueConstraint)]
        named = {each.name: len(there[each.name]["columns"]) for each in (*model._meta.indexes, *unique)}
        assert {name: len(counts) - 1 for name, counts in told.items()} == named
        assert [counts for counts in told.values() if sorted(counts, reverse=True) != list(counts)] == []


def test_after_a_migration_it_stands_there_whatever_stood_before() -> None:
    if connection.vendor != "sqlite":  # PostgreSQL looks by itself
        call_command("migrate", verbosity=0)
        assert "sqlite_stat1" not in connection.introspection.table_names()
        return
    assert {table: known()[table] for table in ROWS} == ROWS
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    assert known().get("automations_liverun") != ROWS["automations_liverun"]
    call_command("migrate", verbosity=0)
    assert {table: known()[table] for table in ROWS} == ROWS


def test_a_database_that_has_no_tables_of_ours_any_more_is_told_all_the_same() -> None:
    """`migrate automations zero` ends here too."""
    if connection.vendor != "sqlite":  # which is told nothing, and has nowhere to keep it
        tell_sqlite(using="default")
        assert "sqlite_stat1" not in connection.introspection.table_names()
        return
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            if table.startswith("automations_"):
                cursor.execute(f'DROP TABLE "{table}"')
    tell_sqlite(using="default")
    assert {table: known()[table] for table in ROWS} == ROWS
