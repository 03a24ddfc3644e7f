"""Undoing a cancel of 100,000 among 200,000 waiting runs: within its `undo_for` by each rule, and archived."""

from __future__ import annotations

import gc
import time
from functools import partial
from typing import Any

import django
from django.db import connection

from tests.bench.cancel import fill, settle
from tests.bench.figures import line

TOKEN, MATCHES = "hundred thousand-0", 100_000


def undone(*, overdue: str, swept: bool = True, passed: bool = False) -> tuple[float, float]:
    """Seconds of an undo within its time, and of its one UPDATE; `passed` says that all the runs are due by then."""
    from automations.cancellation import CancelRequest, cancel
    from automations.execution import housekeeping
    from automations.models import CancellationFilter, LiveRun, Origin, Overdue, database_now, standing
    from automations.undo import undo
    from tests.scenes import production

    environment = production()
    request = CancelRequest(
        environment=environment, filter=CancellationFilter(token=TOKEN), actor="bench", origin=Origin.API
    )
    receipt = cancel(request)[0]
    while swept and standing().exists():
        housekeeping.sweep(environment)
    if passed:
        LiveRun.objects.filter(token=TOKEN).update(due_at=database_now())
    updates: list[float] = []
    begun = time.perf_counter()
    with connection.execute_wrapper(partial(_clocked, updates)):
        done = undo(environment=environment, pk=receipt.pk, actor="bench", overdue=Overdue(overdue))
    seconds = time.perf_counter() - begun
    assert (done.restored, LiveRun.objects.filter(token=TOKEN, state="waiting").count()) == (MATCHES, MATCHES)
    return seconds, max(updates)


def _clocked(updates: list[float], execute: Any, sql: str, *given: Any) -> Any:
    """Notes how long each UPDATE of unfinished runs takes."""
    begun = time.perf_counter()
    try:
        return execute(sql, *given)
    finally:
        if sql.lstrip().startswith("UPDATE automations_liverun"):
            updates.append(time.perf_counter() - begun)


def archived() -> tuple[float, float]:
    """Seconds of an undo whose runs are archived: until it answers, and until all are restored."""
    from automations import execution
    from automations.cancellation import CancelRequest, cancel
    from automations.models import Cancellation, CancellationFilter, LiveRun, Origin
    from automations.undo import undo
    from tests.scenes import production

    environment = production()
    request = CancelRequest(
        environment=environment, filter=CancellationFilter(token=TOKEN), actor="bench", origin=Origin.API
    )
    receipt = cancel(request)[0]
    while Cancellation.objects.filter(archived_at=None).exists():
        execution.keep_house(environment)
    begun = time.perf_counter()
    undo(environment=environment, pk=receipt.pk, actor="bench")
    answered = time.perf_counter() - begun
    while Cancellation.objects.filter(restored_at=None).exists():
        execution.keep_house(environment)
    whole = time.perf_counter() - begun
    assert LiveRun.objects.filter(token=TOKEN, state="waiting").count() == MATCHES
    return answered, whole


def main() -> None:
    django.setup()
    fill()
    settle()
    gc.collect()
    gc.disable()
    line(
        "undo of 100,000 under a bar that is not swept", f"{undone(overdue='fire_now', swept=False)[0]:.2f} s"
    )
    settle()
    for overdue, passed in (("fire_now", False), ("skip", True), ("shift", True)):
        whole, update = undone(overdue=overdue, passed=passed)
        line(f"undo of 100,000, {overdue}", f"{whole:.2f} s, of that the UPDATE {update:.2f} s")
        settle()
    answered, whole = archived()
    line("undo of 100,000 archived, until it answers", f"{answered:.3f} s")
    line("undo of 100,000 archived, until all are restored", f"{whole:.1f} s")


if __name__ == "__main__":
    main()
