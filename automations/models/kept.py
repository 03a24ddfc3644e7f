"""Statements that PostgreSQL plans once for a connection: to plan one takes longer than to carry it out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import connection

KEPT_AT_MOST = 200  # by one connection; what comes after that is planned at each use
# A plan outlives the sizes that it was made for: of an empty table every index is as good as the best, and what was
# planned for it would read all of the environment's runs when there are a million. So it is not kept for long.
KEPT_SECONDS = 10.0


class Kept(NamedTuple):
    """A statement of which there are few texts, and which is right to carry out in the same way whatever its
    parameters (`%s`) are: for a token that one run has as for one that half of them have."""

    text: str
    values: Sequence[Any] = ()


# How plans are made until the transaction ends: at the first use, while PostgreSQL would plan five apart; and none that
# reads a whole table, which of one with ten rows is the quickest way.
BY_INDEX = (
    "set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true)"
)

# What follows a column that is to be one of an `array`, by the database.
ANY_OF = {"postgresql": "= ANY (%s)", "sqlite": "IN (SELECT value FROM json_each(%s))"}
# The same of many values that no index is asked for: PostgreSQL hashes them.
AMONG = {**ANY_OF, "postgresql": "IN (SELECT unnest(%s::{kind}[]))"}

# By psycopg's connection: the names it knows, and since when (time.monotonic()).
_known: WeakKeyDictionary[Any, dict[str, float]] = WeakKeyDictionary()


def as_sent(statement: tuple[str, Sequence[Any]]) -> tuple[str, Sequence[Any]]:
    """The statement as PostgreSQL is sent it over the current connection, which is open: of one that is `Kept` an
    EXECUTE, once it was prepared."""
    if not isinstance(statement, Kept):
        return statement
    name, prepare = _prepared(statement.text)
    known, now = _known.setdefault(connection.connection, {}), time.monotonic()
    since = known.get(name)
    if since is None and (not settings.PREPARED_STATEMENTS or len(known) >= KEPT_AT_MOST):
        return statement
    if since is None or now - since > KEPT_SECONDS:
        with connection.wrap_database_errors:
            if since is not None:
                connection.connection.execute(f"DEALLOCATE {name}")
                del known[name]
            connection.connection.execute(prepare)
        known[name] = now
    marks = ", ".join(["%s"] * len(statement.values))
    return (f"EXECUTE {name} ({marks})" if marks else f"EXECUTE {name}"), statement.values


def array(pks: Iterable[int]) -> str:
    """Primary keys as one parameter, of which the text is the same however many they are; for ANY_OF and AMONG."""
    listed = ",".join(map(str, pks))
    return f"{{{listed}}}" if connection.vendor == "postgresql" else f"[{listed}]"


def text_array(values: list[str]) -> Any:
    """The same of texts."""
    return values if connection.vendor == "postgresql" else json.dumps(values)


@lru_cache(maxsize=1_000)
def _prepared(text: str) -> tuple[str, str]:
    """The name of the statement, and what prepares it."""
    name = f"kept_{blake2b(text.encode(), digest_size=8).hexdigest()}"
    first, *others = text.split("%s")
    numbered = first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))
    return name, f"PREPARE {name} AS {numbered}".replace("%%", "%")
