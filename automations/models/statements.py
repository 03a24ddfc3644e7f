"""Statements sent as they are written: rows inserted without composing anew what `bulk_create` would compose,
and several statements in one round trip."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import groupby
from typing import Any, TypeAlias

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from automations.models.kept import Kept, as_sent

ROWS_AT_ONCE = 1_000
SQLITE_VARIABLES = 32_000
WORTH_COPYING = 5

_Fields: TypeAlias = "Sequence[models.Field[Any, Any]]"
New: TypeAlias = Any
"""A new object of a model; or whatever else has its columns but for the primary key, and names it as `model`."""
Statement = tuple[str, Sequence[Any]]
"""A text and its parameters; `Kept` where PostgreSQL is to plan it once."""
Rows = list[tuple[Any, ...]]
Wanted = tuple[type[models.Model], int]
"""A model, and how many keys of it."""


def drawing(*wanted: Wanted) -> Statement:
    """The statement that draws for each model so many fresh primary keys, for rows that the same transaction inserts;
    `drawn` reads its rows."""
    if connection.vendor != "postgresql":
        return "SELECT name, seq FROM sqlite_sequence", []
    series = "ARRAY(SELECT nextval(%s::regclass) FROM generate_series(1, %s))"
    given = [value for model, count in wanted for value in (f"{model._meta.db_table}_id_seq", count)]
    return Kept(f"SELECT {', '.join([series] * len(wanted))}", given)


def drawn(rows: Rows, *wanted: Wanted) -> list[list[int]]:
    """The keys in order, for each model."""
    if connection.vendor == "postgresql":
        return list(rows[0])
    # The transaction is the only writer, and a row with a key of its own moves the sequence on.
    last: dict[str, int] = dict(rows)
    firsts = [(last.get(model._meta.db_table, 0) + 1, count) for model, count in wanted]
    return [list(range(first, first + count)) for first, count in firsts]


def insert(objects: Iterable[New]) -> None:
    """Stores new objects, whose primary keys are drawn or not asked for; each after those it refers to.

    The same rows as `bulk_create`, which a test compares, at a fraction of its time for few rows
    (docs/decisions/0003-raw-statements.md). On PostgreSQL they take one round trip, and many of one model COPY.
    Inside the caller's transaction.
    """
    waiting: list[Statement] = []
    with connection.cursor() as cursor:
        for kind, rows in groupby(objects, key=type):
            same = list(rows)
            model = kind if issubclass(kind, models.Model) else same[0].model
            fields = _columns(model, keyed=getattr(same[0], "pk", None) is not None)
            if len(same) >= WORTH_COPYING and connection.vendor == "postgresql":
                _send(cursor, waiting)
                _copy(cursor, model, fields, same)
                continue
            waiting += _statements(model, fields, same)
        _send(cursor, waiting)


def _send(cursor: Any, statements: list[Statement]) -> None:
    """Carries the statements out, on PostgreSQL in one round trip; the list is empty afterwards."""
    if connection.vendor == "postgresql" and statements:
        cursor.execute(*_joined(statements))
    else:
        for sql, values in statements:
            cursor.execute(sql, values)
    statements.clear()


def fetch(statements: Sequence[Statement]) -> list[Rows]:
    """The rows of each statement with its parameters, carried out one after the other; on PostgreSQL in one
    round trip, each with a snapshot of its own all the same."""
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            return [cursor.execute(sql, values).fetchall() for sql, values in statements]
        text, values = _joined(statements)
        cursor.execute(text, values or None)  # of a text without values psycopg looks at no character
        fetched = [cursor.fetchall()]
        while cursor.nextset():
            fetched.append(cursor.fetchall())
        return fetched


def execute(statement: Statement) -> int:
    """How many rows the statement wrote."""
    with connection.cursor() as cursor:
        cursor.execute(*statement)
        return int(cursor.rowcount)


def _joined(statements: Sequence[Statement]) -> Statement:
    """One text of all, for PostgreSQL."""
    sent = [as_sent(statement) if isinstance(statement, Kept) else statement for statement in statements]
    return "; ".join(sql for sql, _ in sent), [value for _, values in sent for value in values]


def _copy(cursor: Any, model: type[models.Model], fields: _Fields, rows: list[New]) -> None:
    with cursor.copy(f"COPY {_target(model, tuple(fields))} FROM STDIN") as copy:
        for values in _values(rows, fields):
            copy.write_row(values)


def _statements(model: type[models.Model], fields: _Fields, rows: list[New]) -> list[Statement]:
    """Without columns that are empty in every row: half of them usually, and each costs its part of a statement."""
    fields = tuple(field for field in fields if any(getattr(row, field.attname) is not None for row in rows))
    step = min(ROWS_AT_ONCE, SQLITE_VARIABLES // len(fields))
    statements: list[Statement] = []
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        values = [value for row in _values(chunk, fields) for value in row]
        text = _statement(model, fields, len(chunk))
        statements.append(Kept(text, values) if len(chunk) == 1 else (text, values))
    return statements


def _values(rows: Iterable[New], fields: _Fields) -> Iterator[list[Any]]:
    """The rows as parameters. Only fields whose values the driver does not take as they are get prepared."""
    # What stands behind `connection`, which looks for it at each use.
    database = connections[DEFAULT_DB_ALIAS]
    names = [field.attname for field in fields]
    prepared = [(at, made) for at, field in enumerate(fields) if (made := _preparation(field, database))]
    for row in rows:
        values = [getattr(row, name) for name in names]
        for at, made in prepared:
            values[at] = made(values[at])
        yield values


def _preparation(field: models.Field[Any, Any], database: BaseDatabaseWrapper) -> Callable[[Any], Any] | None:
    """How the driver takes the field's values; None for as they are."""
    if isinstance(field, models.JSONField):
        return _as_json
    if database.vendor == "sqlite" and isinstance(field, _NOT_OF_SQLITE):
        return partial(field.get_db_prep_save, connection=database)
    return None


_NOT_OF_SQLITE = (models.DateTimeField, models.UUIDField, models.ForeignKey)


def _as_json(value: Any) -> str | None:
    """What JSONField and psycopg between them make of it, in a third of their time; None is no value at all."""
    return None if value is None else json.dumps(value)


@lru_cache
def _columns(model: type[models.Model], *, keyed: bool) -> _Fields:
    """The columns to write: all, or all but a primary key that the database is to draw."""
    return tuple(field for field in model._meta.concrete_fields if keyed or not field.primary_key)


@lru_cache
def _target(model: type[models.Model], fields: _Fields) -> str:
    names = ", ".join(f'"{field.column}"' for field in fields)
    return f'"{model._meta.db_table}" ({names})'


@lru_cache(maxsize=256)
def _statement(model: type[models.Model], fields: _Fields, rows: int) -> str:
    row = f"({', '.join(['%s'] * len(fields))})"
    return f"INSERT INTO {_target(model, fields)} VALUES {', '.join([row] * rows)}"  # noqa: S608  (our own names)
