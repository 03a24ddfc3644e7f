"""What a piece of work takes of the processor, here and in the database: on a busy machine, too, it says the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection


def processor_seconds() -> float:
    """Of this thread so far, and on PostgreSQL of its connection's backend. Linux alone tells."""
    whose = ["thread-self"]
    if connection.vendor == "postgresql":
        connection.ensure_connection()
        assert connection.connection is not None
        whose.append(str(connection.connection.info.backend_pid))
    return sum(int(Path(f"/proc/{one}/schedstat").read_text().split()[0]) for one in whose) / 1e9


def taken(action: Callable[[], Any]) -> float:
    """The seconds of it that the action takes."""
    begun = processor_seconds()
    action()
    return processor_seconds() - begun
