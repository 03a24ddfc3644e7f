"""Cancelling by token among 200,000 waiting runs, up to the acknowledgement, beside a raw committed UPDATE."""

from __future__ import annotations

import gc
import time
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

import django

from tests.bench.figures import line, milliseconds, percentile

WAITING = 200_000
SETS = {"one": (1, 200), "thousand": (1_000, 20), "hundred thousand": (100_000, 1)}


TOKEN = """
CASE WHEN n < 100000 THEN 'hundred thousand-0' WHEN n < 120000 THEN 'thousand-' || ((n - 100000) / 1000)
     ELSE 'one-' || (n - 120000) END
"""


def fill() -> None:
    """200,000 waiting runs: a hundred thousand with one token, twenty times a thousand, the rest alone."""
    from tests.bench import waiting

    waiting.fill(WAITING, token=TOKEN)


def settle() -> None:
    """Everything waits again, in a table as compact as it was."""
    from automations.models import Cancellation, LiveRun
    from tests.bench import waiting

    LiveRun.objects.exclude(cancellation=None).update(state="waiting", cancellation=None)
    Cancellation.objects.all().delete()
    waiting.vacuum()


def ours(token: str) -> int:
    from automations.cancellation import CancelRequest, cancel
    from automations.models import CancellationFilter, Origin

    request = CancelRequest(
        environment=_production(), filter=CancellationFilter(token=token), actor="bench", origin=Origin.API
    )
    receipt = cancel(request)[0]
    return WAITING if receipt.bar else receipt.cancelled or 0


def swept(token: str) -> int:
    """The same until every row bears its state."""
    from automations.execution import housekeeping
    from automations.models import standing

    ours(token)
    given = 0
    while standing().exists():
        given += housekeeping.sweep(_production()) or 0
    return given


def swept_beside_a_child(token: str) -> int:
    """The same where some run has a child, so that the sweep has to look beneath every run that it moves."""
    from automations.models import LiveRun

    last = LiveRun.objects.order_by("-pk").values_list("pk", flat=True)[:2]
    child, parent = LiveRun.objects.filter(pk=last[0]), last[1]
    child.update(parent=parent)
    try:
        return swept(token)
    finally:
        child.update(parent=None)


@cache
def _production() -> Any:
    """As a request has it from its key."""
    from tests.scenes import production

    return production()


def raw(token: str) -> int:
    """The least any cancel could do: the same rows by the same condition, committed."""
    from django.db import connection

    name = uuid.uuid4()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE automations_liverun SET state = 'cancelled', cancellation_id = %s "
            "WHERE environment_id = 1 AND (token = %s OR key = %s) AND state IN ('waiting', 'running')",
            [name if connection.vendor == "postgresql" else name.hex, token, token],
        )
        return int(cursor.rowcount)


def timed(cancel: Callable[[str], int], token: str, expected: int) -> float:
    begun = time.perf_counter()
    assert cancel(token) in (expected, WAITING)  # the latter of a bar, which does not say how many it hit
    return time.perf_counter() - begun


def main() -> None:
    django.setup()
    from automations import execution
    from automations.models import Cancellation

    fill()
    settle()
    gc.collect()
    gc.disable()  # its pauses are the bench's own: 200,000 objects were made above
    for size, (matches, sets) in SETS.items():
        rounds = 3 if matches == 100_000 else 1
        ways: dict[str, Callable[[str], int]] = {"raw": raw, "ours": ours}
        if matches == 100_000:
            ways |= {"ours, swept": swept, "ours, swept beside a child": swept_beside_a_child}
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for index in range(
                sets
            ):  # the two take turns; for big sets each finds the table as the other did
                if sets > 1:
                    which = "ours" if index % 2 else "raw"
                    times[which].append(timed(ways[which], f"{size}-{index}", matches))
                    continue
                for which, cancel in ways.items():
                    times[which].append(timed(cancel, f"{size}-{index}", matches))
                    if which != "ours, swept beside a child" or _ + 1 < rounds:
                        settle()
        for which in ways:
            line(f"{matches:,} matches, {which}", milliseconds(times[which]))
            if which != "raw":
                ratio = percentile(times[which], 0.5) / percentile(times["raw"], 0.5)
                line(f"ratio of p50, {which}", f"{ratio:.2f}x")
    begun = time.perf_counter()
    while execution.keep_house(_production()) or Cancellation.objects.filter(archived_at=None).exists():
        pass
    line("archiving what was left, apart", f"{time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
