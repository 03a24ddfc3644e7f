"""The gate: the first statement of every transaction that inserts or moves runs (docs/architecture.md)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import wraps
from hashlib import blake2b
from typing import NamedTuple, ParamSpec, TypeVar

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from automations.models.kept import BY_INDEX, Kept
from automations.models.statements import Rows, Statement, fetch
from automations.testpoints import testpoint

P = ParamSpec("P")
T = TypeVar("T")

GATE = 1  # first half of the two-part key of the gate's advisory lock; token locks use the one-part keys
TRIES = 4
CLOCK_KEPT_SECONDS = 10.0


class Passage(NamedTuple):
    """What one learns at the gate: the database's clock (UTC), whether bars stand that are not swept, the rows of
    what was asked beside, whether some automation is held, and, where that was asked, whether cancellations hold what
    is born (or did, a second ago)."""

    now: datetime
    barred: bool
    rows: Sequence[Rows] = ()
    held: bool = False
    holds: bool = False


# That bar is not empty says nothing new, and lets SQLite find the few by their own index.
BARRED = "EXISTS (SELECT 1 FROM automations_cancellation WHERE environment_id = %s AND bar > '' AND swept_at IS NULL)"
HELD = "EXISTS (SELECT 1 FROM automations_automation WHERE environment_id = %s AND held_at IS NOT NULL)"
HOLDS = """
EXISTS (SELECT 1 FROM automations_cancellation
 WHERE environment_id = %s AND hold_until >= CURRENT_TIMESTAMP AND undone_at IS NULL)
"""


@contextmanager
def gate(
    *, environment_id: int, exclusive: bool = False, beside: Sequence[Statement] = (), bears: bool = False
) -> Iterator[Passage]:
    """A transaction behind the environment's gate; `beside` are statements to carry out as soon as it is passed.
    One that `bears` runs is told of holds.

    Shared by everything that moves runs, exclusive for what must see no such move half-way: a bar, a hold,
    disabling. On SQLite the transaction itself is the gate: it begins as the only writer, and the clock is the
    process's.
    """
    questions = [BARRED, HELD, *([HOLDS] if bears else [])]
    standing = Kept(f"SELECT {', '.join(questions)}", [environment_id] * len(questions))
    with transaction.atomic():
        if connection.vendor == "postgresql":
            function = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
            passing = f"SELECT clock_timestamp(), {BY_INDEX} FROM {function}(%s, %s)"  # noqa: S608  (our own)
            # One round trip, yet the other statements' snapshots are taken when the first has the lock.
            ((now, *_),), (stands,), *rows = fetch([Kept(passing, [GATE, environment_id]), standing, *beside])
        else:
            now, ((stands,), *rows) = timezone.now(), fetch([standing, *beside])
        testpoint("gate.passed")
        barred, held, *holds = map(bool, stands)
        yield Passage(now, barred, rows, held, *holds)


def serialise(*, environment_id: int, words: Iterable[str]) -> None:
    """Makes transactions that name one of the same words (tokens, keys) take turns, from here to their end.

    Called after the gate and before the first write. Sorted, so that two callers cannot wait for each other.
    """
    if connection.vendor != "postgresql":
        return
    locks = sorted({_lock_number(environment_id, word) for word in words})
    with connection.cursor() as cursor:
        for lock in locks:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock])


def database_now() -> datetime:
    """The clock that due times are compared with: the database's on PostgreSQL, the process's on SQLite."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now  # type: ignore[no-any-return]


def clock() -> datetime:
    """`database_now()` without a statement, right to a few milliseconds: it asks every ten seconds and counts on
    by the monotonic clock, so that a machine whose clock is hours off plans by the right time."""
    if connection.vendor != "postgresql":
        return timezone.now()
    kept = getattr(_kept, "clock", None)
    elapsed = time.monotonic()
    if kept is None or elapsed - kept[1] > CLOCK_KEPT_SECONDS:
        _kept.clock = kept = (database_now(), elapsed)
    return kept[0] + timedelta(seconds=elapsed - kept[1])


_kept = threading.local()


def retried(verb: Callable[P, T]) -> Callable[P, T]:
    """Runs a verb's whole transaction again, three times with jitter, when the database calls a deadlock.

    Nothing external happens inside a verb's transaction, so running it again changes nothing but the wait.
    """

    @wraps(verb)
    def again(*args: P.args, **kwargs: P.kwargs) -> T:
        if connection.in_atomic_block:
            return verb(*args, **kwargs)  # the owner of the transaction retries, not its guests
        for attempt in range(1, TRIES):
            try:
                return verb(*args, **kwargs)
            except OperationalError as error:
                if not _worth_another_try(error):
                    raise
                time.sleep(random.uniform(0.005, 0.05) * attempt)  # noqa: S311  (jitter)
        return verb(*args, **kwargs)

    return again


def _worth_another_try(error: OperationalError) -> bool:
    """True for a deadlock (40P01) or a serialisation failure (40001)."""
    return getattr(error.__cause__, "sqlstate", None) in {"40P01", "40001"}


def _lock_number(environment_id: int, word: str) -> int:
    """A signed 64-bit number for the word within the environment."""
    digest = blake2b(f"{environment_id}\0{word}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
