"""Searches that mean the same on both databases: a prefix that compares bytes and uses an index, and tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, JSONField
from django.db.models.lookups import BuiltinLookup
from django.db.models.sql.compiler import SQLCompiler

LAST_CHARACTER = "\U0010ffff"


@CharField.register_lookup
class HasPrefix(BuiltinLookup):
    """`field__has_prefix="abc"`.

    PostgreSQL's LIKE uses an index with varchar_pattern_ops whatever the database's collation. SQLite's LIKE
    folds case and uses no ordinary index, so a range is asked for there.
    """

    lookup_name = "has_prefix"

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        column, parameters = self.process_lhs(compiler, connection)
        pattern = self.rhs.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        return f"{column} LIKE %s", [*parameters, pattern]

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        column, parameters = self.process_lhs(compiler, connection)
        return f"({column} >= %s AND {column} < %s)", [
            *parameters,
            self.rhs,
            *parameters,
            self.rhs + LAST_CHARACTER,
        ]


@JSONField.register_lookup
class Tagged(BuiltinLookup):
    """`field__tagged=["a", "b"]`: whether a JSON list of texts holds one of them."""

    lookup_name = "tagged"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        column, parameters = self.process_lhs(compiler, connection)
        found, values = tagged(column, self.rhs, vendor=connection.vendor)
        return found, [*parameters, *values]


def tagged(column: str, tags: Sequence[str], *, vendor: str) -> tuple[str, list[Any]]:
    """The condition that a JSON list of texts holds one of the tags, with its parameters."""
    if vendor == "postgresql":
        return f"{column} ?| %s", [list(tags)]
    marks = ", ".join(["%s"] * len(tags))
    return f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value IN ({marks}))", [*tags]  # noqa: S608  (marks)
