"""Cancels among 1,000,000 waiting runs: of one, of 100,000, of all; starts beside 100 bars; explanations; walks."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import django

from tests.bench.cancel import ours, raw
from tests.bench.figures import line, milliseconds, percentile

WAITING = 20_000 if os.environ.get("BENCH_SMALL") else 1_000_000
MANY = WAITING // 10
DUE = 4_096  # the runs that the starts take
SLOTS = 64
STANDING = 100
CANCELS = 300
TOKEN = f"CASE WHEN n < {MANY} THEN 'many' WHEN n < {MANY + DUE} THEN 'due-' || n ELSE 'one-' || n END"


def main() -> None:
    django.setup()
    from automations.models import LiveRun
    from tests.bench import waiting

    begun = time.perf_counter()
    first = waiting.fill(WAITING, token=TOKEN)
    waiting.vacuum()
    line("waiting runs", f"{WAITING:,}, filled in {time.perf_counter() - begun:.0f} s")
    gc.collect()
    gc.disable()
    of_one()
    of_many("by token", MANY, {"token": "many"})
    of_many("all", WAITING, {"everything": True})
    by_walk()
    beside_bars(LiveRun.objects.filter(pk__gte=first + MANY, pk__lt=first + MANY + DUE))
    explained()


@contextmanager
def statements() -> Iterator[list[float]]:
    """Gathers the seconds that each statement took, its way to the database and back included."""
    from django.db import connection

    times: list[float] = []

    def timed(execute: Any, *arguments: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            times.append(time.perf_counter() - begun)

    with connection.execute_wrapper(timed):
        yield times


def timed(action: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def of_one() -> None:
    """Two ways in turn, each of runs that the other has not touched."""
    times: dict[str, list[float]] = {"raw": [], "ours": [], "database": []}
    tokens = iter(f"one-{number}" for number in range(WAITING - 2 * CANCELS, WAITING))
    for _ in range(CANCELS):
        times["raw"].append(timed(lambda: raw(next(tokens))))
        with statements() as seconds:
            times["ours"].append(timed(lambda: ours(next(tokens))))
        times["database"].append(sum(seconds))
    line("one run by token, a bare UPDATE", milliseconds(times["raw"]))
    line("one run by token, up to the acknowledgement", milliseconds(times["ours"]))
    line("of that in its statements (p50 < 1 ms)", milliseconds(times["database"]))
    ratio("one run by token", times["ours"], times["raw"])


def of_many(name: str, matches: int, scope: dict[str, Any]) -> None:
    """The acknowledgement alone: the bar is taken away again, and its runs never bear it."""
    from automations.models import Cancellation
    from tests.scenes import cancel_runs

    times = []
    for _ in range(20):
        times.append(timed(lambda: cancel_runs(**scope)))
        bar = Cancellation.objects.get(swept_at=None)
        assert bar.bar is not None
        bar.delete()
    line(f"{matches:,} runs, {name}, acknowledged (< 20 ms)", milliseconds(times))


def by_walk() -> None:
    """What no index finds (docs/decisions/0013-what-no-index-finds.md), and what one does."""
    from automations.models import database_now
    from tests.scenes import cancel_runs

    long_ago = database_now() - timedelta(days=365)
    scopes: dict[str, dict[str, Any]] = {
        "a created range": {"created_before": long_ago},
        "a created range of a recipient": {"created_before": long_ago, "recipients": ("r7",)},
        "tags": {"tags": ("vip",)},
    }
    for name, scope in scopes.items():
        with statements() as seconds:
            times = [timed(partial(cancel_runs, **scope)) for _ in range(5)]
        line(f"no run, by {name}", f"{milliseconds(times)}, {len(seconds) // 5} statements")


def beside_bars(due: Any) -> None:
    """Turns of a worker, each finishing a batch and starting the next, with and without bars in turn."""
    from automations import execution
    from automations.models import Cancellation, database_now
    from tests.models.crowd import bars
    from tests.scenes import production

    due.update(due_at=database_now() - timedelta(seconds=1))
    environment = production()
    times: dict[str, list[float]] = {"none": [], "standing": []}
    tasks: list[Any] = []
    for number in range(DUE // SLOTS):
        stand = number // 4 % 2 == 1
        if number % 4 == 0:
            Cancellation.objects.filter(swept_at=None).delete()
            bars(environment, standing=STANDING if stand else 0, swept=0, now=database_now())
        done = [execution.perform(task) for task in tasks]
        begun = time.perf_counter()
        tasks = execution.turn(environment=environment, done=done, room=SLOTS)
        if number % 4:  # the first of each four finds what the change has left cold
            times["standing" if stand else "none"].append(time.perf_counter() - begun)
        assert len(tasks) == SLOTS
    Cancellation.objects.filter(swept_at=None).delete()
    line(f"a turn that finishes and starts {SLOTS}, no bar", milliseconds(times["none"]))
    line(f"the same, {STANDING} bars standing", milliseconds(times["standing"]))
    ratio(f"a turn beside {STANDING} bars (< 1.15x)", times["standing"], times["none"])


def explained() -> None:
    """The whole request, without the network."""
    from django.test import Client

    from automations.models import ApiKey, Cancellation, Run
    from tests.scenes import production

    _, key = ApiKey.objects.issue(environment=production(), name="b", scopes=("read",), created_by="b")
    client = Client(headers={"Authorization": f"Bearer {key}", "Host": "localhost"})
    receipts = list(Cancellation.objects.order_by("pk")[:50])
    runs = list(Run.objects.order_by("pk")[:50])
    times: list[float] = []
    with statements() as seconds:
        for receipt, run in zip(receipts, runs, strict=True):
            begun = time.perf_counter()
            answer = client.get(f"/api/v1/runs/{run.uid}/explain-cancel?cancellation={receipt.pk}")
            times.append(time.perf_counter() - begun)
            assert answer.status_code == 200, answer.content
    line("explain-cancel, the whole request (< 5 ms)", milliseconds(times))
    line("of that in its statements, on the average", f"{sum(seconds) / len(times) * 1000:.2f} ms")


def ratio(name: str, one: list[float], other: list[float]) -> None:
    line(f"ratio of p50, {name}", f"{percentile(one, 0.5) / percentile(other, 0.5):.2f}x")


if __name__ == "__main__":
    main()
