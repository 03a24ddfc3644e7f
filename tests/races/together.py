"""Runs functions at the same moment, each on a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

from django.db import connection, transaction

from automations import invocation
from automations.models import (
    Cancellation,
    Descent,
    Event,
    Invocation,
    Listener,
    LiveRun,
    Occurrence,
    OnCancelStart,
    Run,
    WebhookDelivery,
    definitions,
)

# What a race writes, so that nothing is left that refers to what is gone.
WRITTEN = (
    *(WebhookDelivery, OnCancelStart, Descent, Event, LiveRun),
    *(Run, Invocation, Cancellation, Occurrence),
)


def rounds(times: int) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Runs the race so many times, each from empty tables: one round proves little, and a test's own
    clean-up takes longer than a round."""

    def repeat(race: Callable[[], None]) -> Callable[[], None]:
        @wraps(race)
        def repeated() -> None:
            for _ in range(times):
                race()
                clear()

        return repeated

    return repeat


def clear() -> None:
    """Empties the tables of runs, in one statement each: Django's delete() would read them first."""
    with transaction.atomic(), connection.cursor() as cursor:
        Listener.objects.exclude(invocation=None).delete()
        for model in WRITTEN:
            cursor.execute(f"DELETE FROM {model._meta.db_table}")
    definitions.forget()
    invocation.forget()


def together(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each function returned, in their order; raises what one of them raised."""
    barrier = threading.Barrier(len(functions))

    def call(function: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=10)
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [
            future.result(timeout=60) for future in [pool.submit(call, function) for function in functions]
        ]
