"""Lets one machine at a time change a database's tables, however many start at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, connection

PREPARING = 0x434D  # number of the lock


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Holds the lock of a PostgreSQL, waiting for whoever has it; SQLite locks its file by itself. A connection
    that closes lets go of it."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [PREPARING])
    try:
        yield
    finally:
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [PREPARING])
