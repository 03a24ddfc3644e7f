"""Statements that PostgreSQL plans once for a connection: to plan one takes longer than to carry it out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import connection

KEPT_AT_MOST = 200  # by one connection; what comes after that is planned at each use


class Kept(NamedTuple):
    """A statement of which there are few texts, and which is right to carry out in the same way whatever its
    parameters (`%s`) are: for a token that one run has as for one that half of them have."""

    text: str
    values: Sequence[Any] = ()


# A plan that is kept outlives the sizes it was made for: one that reads a whole table, which is the quickest way
# while that has ten rows, would go on when it has a million. Until the transaction ends; and plans are made without
# the first parameters.
BY_INDEX = (
    "set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)"
)

# What follows a column that is to be one of an `array`, by the database.
ANY_OF = {"postgresql": "= ANY (%s)", "sqlite": "IN (SELECT value FROM json_each(%s))"}

_known: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # by psycopg's connection, the names it knows


def as_sent(statement: Kept) -> tuple[str, Sequence[Any]]:
    """The statement as PostgreSQL is sent it over the current connection, which is open: an EXECUTE, once it was
    prepared."""
    name, prepare = _prepared(statement.text)
    known = _known.setdefault(connection.connection, set())
    if name not in known:
        if not settings.PREPARED_STATEMENTS or len(known) >= KEPT_AT_MOST:
            return statement
        with connection.wrap_database_errors:
            connection.connection.execute(prepare)
        known.add(name)
    marks = ", ".join(["%s"] * len(statement.values))
    return (f"EXECUTE {name} ({marks})" if marks else f"EXECUTE {name}"), statement.values


def array(pks: Iterable[int]) -> str:
    """Primary keys as one parameter, of which the text is the same however many they are; for ANY_OF."""
    listed = ",".join(map(str, pks))
    return f"{{{listed}}}" if connection.vendor == "postgresql" else f"[{listed}]"


@lru_cache(maxsize=1_000)
def _prepared(text: str) -> tuple[str, str]:
    """The name of the statement, and what prepares it."""
    name = f"kept_{blake2b(text.encode(), digest_size=8).hexdigest()}"
    first, *others = text.split("%s")
    numbered = first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))
    return name, f"PREPARE {name} AS {numbered}".replace("%%", "%")
