"""The pump beside one plain django-q2 `Schedule` per delay: steps a second, and lateness at 200 due a second."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import django

from tests.bench.figures import line, milliseconds

STEPS = 30_000
SCHEDULES = 1_000
PER_SECOND = 200
SECONDS = 10


def stamp(due: str, file: str) -> None:
    """What a Schedule calls: notes how late it is."""
    late = time.time() - float(due)
    with Path(file).open("a", encoding="ascii") as output:
        output.write(f"{time.time()} {late}\n")


@contextmanager
def cluster(**environment: str) -> Iterator[None]:
    """The workers, as `manage.py cluster` or django-q2's own command runs them."""
    command = "qcluster" if environment else "cluster"
    process = subprocess.Popen(
        [sys.executable, "-m", "django", command],
        env={**os.environ, **environment},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def pump_throughput() -> float:
    """Steps a second over runs that are due at once: start, effect and finish of each."""
    from django.db.models import Max

    from automations.models import Event, LiveRun
    from tests.scenes import SEND, invoke

    for _ in range(STEPS // 1000):
        invoke(SEND, recipients=[f"r{n}" for n in range(1000)])
    with cluster():
        while LiveRun.objects.exists():
            time.sleep(0.1)
    done = Event.objects.filter(kind="step_completed")
    ended = done.aggregate(at=Max("at"))["at"]
    begun = min(datetime.fromisoformat(text) for text in done.values_list("data__started_at", flat=True))
    return STEPS / float((ended - begun).total_seconds())


def pump_lateness() -> list[float]:
    """How late steps start when 200 a second come due, in seconds."""
    from automations.models import Event, LiveRun, database_now
    from tests.scenes import SEND, invoke

    Event.objects.all().delete()
    for _ in range(PER_SECOND * SECONDS // 1000):
        invoke({"action": "delay", "duration": "1 hour"}, SEND, recipients=[f"r{n}" for n in range(1000)])
    with cluster():
        time.sleep(3)  # the workers are up
        first = database_now() + timedelta(seconds=2)
        pks = LiveRun.objects.order_by("pk").values_list("pk", flat=True)
        dues = {pk: first + timedelta(seconds=index / PER_SECOND) for index, pk in enumerate(pks)}
        _spread(dues)
        while LiveRun.objects.exists():
            time.sleep(0.2)
    started = Event.objects.filter(kind="step_completed").values_list("run_id", "data__started_at")
    return [(datetime.fromisoformat(at) - dues[run]).total_seconds() for run, at in started]


def _spread(dues: dict[int, datetime]) -> None:
    from automations.models import LiveRun

    rows = [LiveRun(pk=pk, due_at=due) for pk, due in dues.items()]
    LiveRun.objects.bulk_update(rows, ["due_at"], batch_size=500)


def schedule(amount: int, *, per_second: float | None) -> tuple[float, list[float]]:
    """The same of django-q2's own schedules: a second's worth, and each one's lateness in seconds."""
    from django.utils import timezone
    from django_q.models import Schedule

    with tempfile.NamedTemporaryFile() as file:
        first = timezone.now() + timedelta(seconds=5 if per_second else 0)
        rows = []
        for index in range(amount):
            due = first + timedelta(seconds=index / per_second if per_second else 0)
            arguments = f"'{due.timestamp()}', '{file.name}'"
            rows.append(
                Schedule(func="tests.bench.pump.stamp", args=arguments, next_run=due, schedule_type="O")
            )
        Schedule.objects.bulk_create(rows)
        with cluster(BENCH_PLAIN_DJANGO_Q="1"):
            deadline = time.monotonic() + 150
            while (
                len(lines := Path(file.name).read_text().splitlines()) < amount
                and time.monotonic() < deadline
            ):
                time.sleep(0.5)
        at = sorted(float(text.split()[0]) for text in lines)
        return len(at) / (at[-1] - at[0]), [float(text.split()[1]) for text in lines]


def main() -> None:
    django.setup()
    pumped = pump_throughput()
    plain, _ = schedule(SCHEDULES, per_second=None)
    line("pump, steps/s", f"{pumped:,.0f}")
    line("django-q2 Schedule per delay, steps/s", f"{plain:,.0f}")
    line("ratio (at least 15 expected)", f"{pumped / plain:.1f}x")
    line(f"pump, lateness at {PER_SECOND} due/s (p50 < 20, p99 < 100)", milliseconds(pump_lateness()))
    _, late = schedule(PER_SECOND * SECONDS, per_second=PER_SECOND)
    line(f"Schedule, lateness at {PER_SECOND} due/s", milliseconds(late))


if __name__ == "__main__":
    main()
