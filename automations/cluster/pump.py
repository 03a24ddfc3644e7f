"""The pump: a django-q2 task of some seconds that carries due work forward until nothing is due."""

from __future__ import annotations

import multiprocessing
import os
import queue
import time

from django.conf import settings
from django.utils import timezone

from automations import execution
from automations.cluster.crew import Crew
from automations.execution import Done, Task
from automations.models import Environment

SHIFT_SECONDS = 5.0  # after that a pump ends as soon as nothing is in flight ...
LONGEST_SHIFT_SECONDS = 60.0  # ... and after this it starts nothing more
LINGER_SECONDS = 0.25  # how long it waits for more before it ends early
POLL_SECONDS = 0.02
GATHER_SECONDS = 0.004  # steps that end within so short a time are written back together
HOUSE_SECONDS = 1.0
BEAT_SECONDS = 5.0
DRAIN_SECONDS = 9.0

# Set by the cluster's parent before it stops; workers inherit it when they are forked.
stopping = multiprocessing.Event()


def run_pump() -> None:
    """One shift: house is kept, due steps are started, performed and finished. Losing it loses nothing."""
    _Shift().work()


class _Shift:
    """What one pump has in hand."""

    def __init__(self) -> None:
        self.crew = Crew.of_this_process(settings.SLOTS)
        self.finished: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self.environments = list(Environment.objects.all())
        self.in_flight: dict[int, dict[int, Task]] = {environment.pk: {} for environment in self.environments}
        self.busy = 0
        self.started_at = self.last_work = time.monotonic()
        self.next_house = self.next_beat = 0.0
        self.lease_third = settings.LEASE_SECONDS / 3
        self.next_renewal = self.started_at + self.lease_third
        self.born = timezone.now()

    def work(self) -> None:
        """Turns until the shift is over."""
        done: dict[int, list[Done]] = {}
        while done or not self._is_over():
            pause = 0.0 if done else self._seconds_to_due()
            if (done or pause <= 0) and self._turn(done):
                self.last_work = time.monotonic()
                pause = 0.0
            self._look_after()
            done = self._collect(POLL_SECONDS if self.busy else min(max(pause, 0.001), POLL_SECONDS))

    def _is_over(self) -> bool:
        now = time.monotonic()
        if stopping.is_set():
            return not self.busy or now - self.last_work > DRAIN_SECONDS
        if self.busy:
            return False
        return now - self.last_work > LINGER_SECONDS or now - self.started_at > SHIFT_SECONDS

    def _may_start(self) -> bool:
        return not stopping.is_set() and time.monotonic() - self.started_at < LONGEST_SHIFT_SECONDS

    def _seconds_to_due(self) -> float:
        """How long until the next step is due; one statement, and no lock."""
        seconds = execution.seconds_to_due()
        return POLL_SECONDS if seconds is None else seconds

    def _turn(self, done: dict[int, list[Done]]) -> bool:
        """Finishes what is done and starts what is due, environment by environment; whether there was any."""
        worked = False
        for environment in self.environments:
            mine = done.get(environment.pk, [])
            room = settings.SLOTS - self.busy if self._may_start() else 0
            if not mine and not room:
                continue
            tasks = execution.turn(environment=environment, done=mine, room=room)
            self.busy += len(tasks)
            self.in_flight[environment.pk].update((task.claim.run_id, task) for task in tasks)
            for task in tasks:
                self.crew.perform(task, into=self.finished)
            worked = worked or bool(mine or tasks)
        return worked

    def _collect(self, seconds: float) -> dict[int, list[Done]]:
        """What has been performed, by environment: waits so long for the first, then a moment for the rest."""
        done: dict[int, list[Done]] = {}
        until = time.monotonic() + seconds
        gathered = False
        while (left := until - time.monotonic()) > 0 or not gathered:
            try:
                item = self.finished.get(timeout=max(left, 0.0))
            except queue.Empty:
                break
            environment_id = item.task.claim.environment_id
            if self.in_flight[environment_id].get(item.task.claim.run_id) is item.task:
                del self.in_flight[environment_id][item.task.claim.run_id]
                self.busy -= 1
            done.setdefault(environment_id, []).append(item)
            if not gathered:
                gathered, until = True, time.monotonic() + GATHER_SECONDS
            if not self.busy:
                break
        return done

    def _look_after(self) -> None:
        """What is owed every now and then: the leases in hand, signs of life, and house-keeping."""
        now = time.monotonic()
        if now >= self.next_renewal:
            self.next_renewal = now + self.lease_third
            for environment in self.environments:
                self._renew(environment, self.in_flight[environment.pk])
        if now >= self.next_beat:
            self.next_beat = now + BEAT_SECONDS
            execution.beat(pid=os.getpid(), started_at=self.born)
            execution.tidy()
        if now >= self.next_house:
            more = [execution.keep_house(environment) for environment in self.environments]
            self.next_house = now if any(more) else now + HOUSE_SECONDS

    def _renew(self, environment: Environment, tasks: dict[int, Task]) -> None:
        """Prolongs the leases in hand; a step past its hard deadline is given up, to be taken back by others."""
        for run_id in [run_id for run_id, task in tasks.items() if task.is_overdue]:
            del tasks[run_id]
            self.busy -= 1
        if tasks:
            execution.renew(environment=environment, tasks=list(tasks.values()))
