"""Lets one machine at a time change a database's tables, and says of a database that it has none, or is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, OperationalError, connection

from automations.models import database_name, is_prepared, unprepared

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


@contextmanager
def answering() -> Iterator[None]:
    """CommandError, in one sentence, where the database does not answer what is asked inside, or is none."""
    try:
        yield
    except OperationalError as error:
        why = str(error).strip().partition("\n")[0]
        raise CommandError(f"The database ({database_name()}) does not answer: {why}") from None
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # SQLite's for a file that is none of its own, or is broken
            raise
        raise CommandError(f"The database ({database_name()}) cannot be read: {error}") from None


class PreparedCommand(BaseCommand):
    """A command on a database that has our tables. CommandError where it has none, or does not answer."""

    requires_system_checks = ()  # the tests run them; here they would double the start

    def execute(self, *args: Any, **options: Any) -> str | None:
        with answering():
            if not is_prepared():
                raise CommandError(unprepared())
        return super().execute(*args, **options)
