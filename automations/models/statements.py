"""Statements sent as they are written: rows inserted without composing anew what `bulk_create` would compose,
and several statements in one round trip."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, models

from automations.models.kept import Kept, as_sent

ROWS_AT_ONCE = 1_000
SQLITE_VARIABLES = 32_000
WORTH_COPYING = 5
EXPONENT = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<number>-?\d[\d.]*e\+\d+)')  # of a number, and not within a text

New: TypeAlias = Any
"""A new object of a model; or whatever else has its columns but for the primary key, and names it as `model`."""
Statement = tuple[str, Sequence[Any]]
"""A text and its parameters; `Kept` where PostgreSQL is to plan it once."""
Rows = list[tuple[Any, ...]]
T = TypeVar("T")
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
            keyed = getattr(same[0], "pk", None) is not None
            shape = _shape(model, keyed=keyed, vendor=connection.vendor)
            if len(same) >= WORTH_COPYING and connection.vendor == "postgresql":
                _send(cursor, waiting)
                _copy(cursor, model, shape, same)
                continue
            waiting += _statements(model, shape, same)
        _send(cursor, waiting)


def row_of(model: type[models.Model], **values: Any) -> New:
    """What an object of the model is made of, by its columns, for `insert`: to make the object takes as long as to
    store it. What is not given is as by the model's default, but for one that has to be made. TypeError for a column
    that there is not."""
    kind = _row_kind(model)
    if unheard_of := values.keys() - kind.columns:
        raise TypeError(f"{model.__name__} has no {', '.join(sorted(unheard_of))}")
    return kind(**values)


@lru_cache
def _row_kind(model: type[models.Model]) -> Any:
    """The class of such rows, which has what is not given."""
    fields = model._meta.concrete_fields
    (key,) = (field.attname for field in fields if field.primary_key)
    ready = (field for field in fields if not (field.has_default() and callable(field.default)))
    told = {"model": model, "columns": {field.attname for field in fields}, "pk": property(attrgetter(key))}
    defaults = {field.attname: field.get_default() for field in ready}
    return type(f"{model.__name__}Row", (SimpleNamespace,), {**defaults, **told})


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


def fetch_first(statement: Statement) -> Rows:
    """The rows of the first statement of a request, which only reads: asked again over a new connection where the one
    that was kept since the last request is lost. So nothing has to ask before whether it is."""
    if connection.in_atomic_block:
        return fetch([statement])[0]
    connection.health_check_done = True  # type: ignore[attr-defined]
    return again_if_lost(lambda: fetch([statement])[0])


def again_if_lost(read: Callable[[], T]) -> T:
    """What `read` gives, which only reads and in no transaction; asked once more over a new connection, where the old
    one was lost."""
    try:
        return read()
    except (OperationalError, InterfaceError):
        connection.close()
        return read()


def execute(statement: Statement) -> int:
    """How many rows the statement wrote."""
    with connection.cursor() as cursor:
        cursor.execute(*statement)
        return int(cursor.rowcount)


def _joined(statements: Sequence[Statement]) -> Statement:
    """One text of all, for PostgreSQL."""
    sent = [as_sent(statement) for statement in statements]
    return "; ".join(sql for sql, _ in sent), [value for _, values in sent for value in values]


class _Shape(NamedTuple):
    """How the rows of a model are written: each column, what reads them of a row, and which of the values the driver
    does not take as they are."""

    columns: tuple[str, ...]
    read: Callable[[New], tuple[Any, ...]]
    prepared: tuple[tuple[int, Callable[[Any], Any]], ...]

    def values(self, rows: Iterable[New]) -> Iterator[list[Any]]:
        """The rows as parameters."""
        for row in rows:
            values = list(self.read(row))
            for at, made in self.prepared:
                values[at] = made(values[at])
            yield values


def _copy(cursor: Any, model: type[models.Model], shape: _Shape, rows: list[New]) -> None:
    with cursor.copy(f"COPY {_target(model, shape.columns)} FROM STDIN") as copy:
        for values in shape.values(rows):
            copy.write_row(values)


def _statements(model: type[models.Model], shape: _Shape, rows: list[New]) -> list[Statement]:
    """Without columns that are empty in every row: half of them usually, and each costs its part of a statement."""
    values = list(shape.values(rows))
    used = [at for at, column in enumerate(zip(*values, strict=True)) if column.count(None) < len(column)]
    columns = tuple(shape.columns[at] for at in used)
    step = min(ROWS_AT_ONCE, SQLITE_VARIABLES // len(used))
    statements: list[Statement] = []
    for start in range(0, len(values), step):
        chunk = values[start : start + step]
        text = _statement(model, columns, len(chunk))
        given = [row[at] for row in chunk for at in used]
        statements.append(Kept(text, given) if len(chunk) == 1 else (text, given))
    return statements


@lru_cache
def _shape(model: type[models.Model], *, keyed: bool, vendor: str) -> _Shape:
    """Of all columns, or of all but a primary key that the database is to draw."""
    fields = [field for field in model._meta.concrete_fields if keyed or not field.primary_key]
    prepared = ((at, _preparation(field, vendor)) for at, field in enumerate(fields))
    return _Shape(
        columns=tuple(str(field.column) for field in fields),
        read=attrgetter(*(field.attname for field in fields)),
        prepared=tuple((at, made) for at, made in prepared if made is not None),
    )


def _preparation(field: models.Field[Any, Any], vendor: str) -> Callable[[Any], Any] | None:
    """What makes a field's value one that the driver takes; None for as it is."""
    kind = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(kind, models.JSONField):
        return _as_json
    if vendor == "sqlite" and isinstance(kind, models.UUIDField):
        return _as_hex
    if vendor == "sqlite" and isinstance(kind, models.DateTimeField):
        return _as_naive
    return None


def _as_json(value: Any) -> str | None:
    """What JSONField and psycopg between them make of it, in a third of their time; None is no value at all."""
    if value is None:
        return None
    text = json.dumps(value)
    return EXPONENT.sub(_written_out, text) if "e+" in text else text


def _written_out(found: re.Match[str]) -> str:
    """1e+21 with all its digits and a fraction, with which it comes out of a jsonb as a float again: without one it
    would be an integer, of which a token has every digit."""
    return f"{Decimal(found[0]):f}.0" if found["number"] else found[0]


def _as_hex(value: UUID | None) -> str | None:
    return None if value is None else value.hex


def _as_naive(value: datetime | None) -> str | None:
    return None if value is None else str(value.astimezone(UTC).replace(tzinfo=None))


@lru_cache
def _target(model: type[models.Model], columns: tuple[str, ...]) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    return f'"{model._meta.db_table}" ({names})'


@lru_cache(maxsize=256)
def _statement(model: type[models.Model], columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join(['%s'] * len(columns))})"
    return f"INSERT INTO {_target(model, columns)} VALUES {', '.join([row] * rows)}"  # noqa: S608  (our own names)
