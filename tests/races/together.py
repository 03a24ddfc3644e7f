"""Runs functions at the same moment, each on a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

from django.db import connection

from automations import invocation
from automations.models import (
    Cancellation,
    Event,
    Invocation,
    Listener,
    LiveRun,
    Occurrence,
    Run,
    definitions,
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
    """Empties the tables of runs."""
    Listener.objects.exclude(invocation=None).delete()
    Run.objects.exclude(parent=None).update(parent=None)  # which protects it
    for model in (Event, LiveRun, Run, Invocation, Cancellation, Occurrence):
        model._default_manager.all().delete()
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
