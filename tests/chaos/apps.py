"""What is different about a product under chaos: slow moments, tell-tale headers, named processes, and mutants."""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.apps import AppConfig

# The longest pause at each test point, in seconds; half of the passes pause. Without them random faults miss
# the races that matter: between a start's commit and its effect, and between a commit and its answer.
PAUSES = {
    "gate.passed": 0.002, "invoke.prepared": 0.01, "invoke.committed": 0.05,
    "start.moved": 0.01, "start.committed": 0.05,
    "effect.begins": 0.02, "effect.sends": 0.15, "effect.ended": 0.03,
    "finish.begins": 0.03, "finish.moved": 0.005, "finish.committed": 0.03,
    "cancel.begins": 0.02, "cancel.moved": 0.01, "cancel.committed": 0.01,
    "bar.placed": 0.02, "sweep.moved": 0.01, "sweep.looked": 0.02,
    "event.placed": 0.01, "event.judged": 0.01, "event.moved": 0.01,
    "reschedule.moved": 0.01, "descend.begins": 0.02, "descend.seen": 0.02, "child.born": 0.01, "wake.moved": 0.01,
    "disable.placed": 0.01, "disable.committed": 0.05, "park.moved": 0.01, "enable.moved": 0.01, "resume.read": 0.01,
    "undo.moved": 0.01, "undo.committed": 0.02, "undo.read": 0.01, "scheduled.read": 0.01, "delivery.read": 0.005,
    "renew.begins": 0.02, "reap.read": 0.01, "settle.read": 0.01, "archive.read": 0.005,
}  # fmt: skip
ROLES = ("Sentinel", "worker", "monitor", "pusher")  # what django-q2 forks, by the names in its module


class Chaos(AppConfig):
    """Reads its orders from CHAOS, a JSON object: seed, pauses (a factor), mutant, silent (seconds)."""

    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        orders = json.loads(os.environ.get("CHAOS", "{}"))
        pause(seed=orders.get("seed", 0), factor=orders.get("pauses", 0.0))
        if orders:
            place_bars()
        if "cluster" in sys.argv:
            tell_attempts()
            name_processes()
            be_impatient(seconds=orders.get("silent"))
        if mutant := orders.get("mutant"):
            MUTANTS[mutant]()


def pause(*, seed: int, factor: float) -> None:
    """From now on whoever passes a test point sleeps there, for a time drawn anew in every process."""
    from automations import testpoints

    draws: dict[int, random.Random] = {}

    def passer(name: str) -> None:
        draw = draws.setdefault(os.getpid(), random.Random(f"{seed}/{os.getpid()}"))
        if draw.random() < 0.5:
            time.sleep(draw.random() * factor * PAUSES[name])

    if factor:
        testpoints.watch(passer)


def place_bars() -> None:
    """Every other cancel is a bar, however few runs it matches."""
    from automations import cancellation

    turns = itertools.count()
    cancellation._is_many = lambda matches: next(turns) % 2 == 0


def tell_attempts() -> None:
    """Every webhook says which attempt sends it, how late that started, and its hard deadline (monotonic)."""
    from automations import execution
    from automations.channels import webhook
    from automations.execution import Done, Task

    current = threading.local()
    perform, headers = execution.perform, webhook._headers

    def telling(task: Task, **given: Any) -> Done:
        claim, step = task.claim, task.step
        late = (claim.started_at - claim.due_at).total_seconds()
        timeout = step.timeout.total_seconds() if step else 0.0
        current.attempt = json.dumps(
            {"attempt": claim.attempt, "fence": claim.fence, "late": late, "deadline": task.started + timeout}
        )
        return perform(task, **given)

    def with_attempt(extra: Any, *, key: str) -> dict[str, str]:
        return {**headers(extra, key=key), "Chaos-Attempt": current.attempt}

    execution.perform, webhook._headers = telling, with_attempt


def name_processes() -> None:
    """What django-q2 forks bears its role as the name that /proc shows; its command lines are all the same."""
    from django_q import cluster

    def named(role: str, target: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            Path("/proc/self/comm").write_text(role.lower())
            return target(*given)

        return run

    for role in ROLES:
        setattr(cluster, role, named(role, getattr(cluster, role)))


def be_impatient(*, seconds: float | None) -> None:
    """The watchdog waits only so long for a tree that takes no work: a test has no half minute to spare."""
    from automations.execution import roster

    if seconds is not None:
        roster.IDLE_FOR = timedelta(seconds=seconds)


def recheck() -> None:
    """The usual design: a worker reads the run once more, then sends; a cancel knows of no started step."""
    from automations import execution
    from automations.execution import Done, Task
    from automations.machine import Plan
    from automations.models import LiveRun, live_run_bars

    wrong = live_run_bars.CANCEL.replace("ELSE 'cancelling' END", "ELSE 'cancelled' END, lease_until = NULL")
    assert wrong != live_run_bars.CANCEL
    live_run_bars.CANCEL = wrong
    perform = execution.perform

    def careful(task: Task, **given: Any) -> Done:
        if LiveRun.objects.filter(pk=task.claim.run_id, state="running").exists():
            return perform(task, **given)
        plan = Plan(position=task.claim.position, due_at=task.now(), now=task.now())
        return Done(task=task, outcome=None, plan=plan)

    execution.perform = careful


def unlisted() -> None:
    """A receipt that leaves out what is in flight."""
    from automations.cancellation import receipt

    receipt._in_flight = lambda run: iter(())


MUTANTS = {"recheck": recheck, "unlisted": unlisted}
