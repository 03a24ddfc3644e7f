"""The pump: a django-q2 task of some seconds that carries due work forward until nothing is due."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from functools import lru_cache

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from automations import execution
from automations.cluster import identity
from automations.cluster.crew import Crew
from automations.cluster.post import Post
from automations.execution import Done, Task
from automations.models import LATE_AFTER, Due, Environment

SHIFT_SECONDS = 5.0  # after that a pump ends as soon as nothing is in flight; until then it goes on starting
LINGER_SECONDS = 0.25  # how long it waits for more before it ends early
POLL_SECONDS = 0.02
LOOK_SHARE = 0.02  # of its time, what a pump that has its hands full spends on looking what else is due
PATIENCE_SECONDS = 0.002  # for the first step of those handed out to end, before more threads are called
GATHER_SECONDS = 0.004  # steps that end within so short a time are written back together
HOUSE_SECONDS = 1.0
BEAT_SECONDS = 5.0
HUNG_SECONDS = 300  # in one round, after which the kernel ends the worker
TIDY_SECONDS = 60.0
DRAIN_SECONDS = 9.0  # for what is in flight when it is told to stop
AWAY_SECONDS = 0.2
LATE_SECONDS = LATE_AFTER.total_seconds()

log = logging.getLogger(__name__)
_next_tidying = [0.0]  # by time.monotonic(), for this process

# Set by the cluster's parent before it stops; workers inherit it when they are forked.
stopping = multiprocessing.Event()


def run_pump() -> None:
    """One shift: house is kept, due steps are started, performed and finished. Losing it loses nothing.

    A worker whose every thread is stuck past its deadlines is no worker any more, and ends itself; one that is told
    to stop ends anyway.
    """
    shift = _Shift()
    try:
        shift.work()
    finally:
        signal.alarm(0)
    if shift.crew.room <= 0 and not shift.busy and not stopping.is_set():
        log.error("every thread of worker %s is stuck; it ends itself", os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)


_Attempt = tuple[int, int]
"""Primary key of the run, and fence."""


def _attempt(task: Task) -> _Attempt:
    return task.claim.run_id, task.claim.fence


@lru_cache(maxsize=1)
def _enlist(pid: int) -> int:
    """The primary key of this process among the workers."""
    return execution.roster.enlist(name=identity.name_of(pid) or str(pid), host=identity.host(), pid=pid)


class Allowance:
    """So many a second, saved up for a second at most."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.saved = 0.0
        self.at = time.monotonic()

    def left(self) -> int:
        """How many may be taken now."""
        now = time.monotonic()
        self.saved = min(self.saved + (now - self.at) * self.per_second, self.per_second)
        self.at = now
        return max(int(self.saved), 0)

    def take(self, count: int) -> None:
        """So many were taken."""
        self.saved -= count


_LATE = Allowance(settings.CATCH_UP_PER_SECOND)


class _Shift:
    """What one pump has in hand."""

    def __init__(self) -> None:
        self.crew = Crew.of_this_process(settings.SLOTS)
        self.finished: deque[Done] = deque()
        self.awaited = 1  # once so many are finished,
        self.all_ended = threading.Event()  # this is set; and once any is,
        self.ended = threading.Event()
        self.environments: list[Environment] = []
        self.in_flight: dict[int, dict[_Attempt, Task]] = {}
        self.started_at = time.monotonic()
        self.next_due: dict[int, float] = {}  # by environment, unless emptied since the look
        self.next_look = 0.0  # by time.monotonic(); 0 until it has looked at all
        self.is_behind = False
        self.last_work = 0.0
        self.away_since: float | None = None
        self.told_at: float | None = None  # when it saw that it is to stop
        self.next_house = self.next_beat = 0.0
        self.lease_third = settings.LEASE_SECONDS / 3
        self.next_renewal = self.started_at + self.lease_third
        self.worker = _enlist(os.getpid())
        self.worked = self.archiving = False
        self._meet()

    @property
    def busy(self) -> bool:
        """Whether attempts are in flight that somebody waits for."""
        return any(self.in_flight.values())

    @property
    def full(self) -> bool:
        """Whether there is room for nothing more, as long as steps last that somebody waits for."""
        return self.busy and self.crew.room <= 0

    def _meet(self) -> None:
        """Learns which environments there are."""
        self.environments = list(Environment.objects.all())
        for each in self.environments:
            self.in_flight.setdefault(each.pk, {})

    def work(self) -> None:
        """Turns until the shift is over. Through a short absence of the database it keeps what it has in hand."""
        done: dict[int, list[Done]] = {}
        while done or not self._is_over():
            signal.alarm(HUNG_SECONDS)
            try:
                pause = self._round(done)
            except (OperationalError, InterfaceError):
                self._wait_for_database()
                continue
            self.away_since = None
            done = self._collect(min(max(pause, 0.001), POLL_SECONDS))

    def _round(self, done: dict[int, list[Done]]) -> float:
        """Everything that needs the database; `done` is empty afterwards. Seconds until the next step is due."""
        if time.monotonic() >= self.next_look or not (done or self._due()):
            self._look()
        due = self._due()
        if (done or due) and self._turn(done):
            self.last_work = time.monotonic()
            self.worked = True
            pause = self._seconds_to_due() if self.busy else 0.0
        else:  # what is due may not be started just now
            pause = POLL_SECONDS if due else self._seconds_to_due()
        self._look_after()
        return pause

    def _wait_for_database(self) -> None:
        """A pause; raises the error again once the leases in hand must have run out, or the drain is over."""
        connection.close()
        self.crew.hurry()
        now = time.monotonic()
        self.away_since = self.away_since or now
        if now - self.away_since > settings.LEASE_SECONDS or self._has_drained():
            raise
        time.sleep(AWAY_SECONDS)

    def _is_over(self) -> bool:
        now = time.monotonic()
        if stopping.is_set():
            return self._has_drained() or not self.busy
        if self.busy or not self.next_look:
            return False
        if now - self.started_at > SHIFT_SECONDS:
            return True
        if self.archiving:
            return False
        return self._seconds_to_due() > LINGER_SECONDS and now - self.last_work > LINGER_SECONDS

    def _has_drained(self) -> bool:
        """Whether it has waited for what is in flight since it was told to stop."""
        if not stopping.is_set():
            return False
        now = time.monotonic()
        self.told_at = self.told_at or now
        return now - self.told_at > DRAIN_SECONDS

    def _look(self, *, also_owed: bool = False) -> Due:
        """What is due where, and how soon; one statement, and no lock. The post sees to what is owed."""
        since = time.monotonic()
        due = execution.what_is_due(also_owed=also_owed)
        if due.owed:
            Post.of_this_process(until=stopping).wake()
        if due.times.keys() - self.in_flight.keys():  # one has been made since the shift began
            self._meet()
        now = time.monotonic()
        self.next_due = {pk: now + seconds for pk, seconds in due.times.items()}
        self.next_look = now + (now - since) / LOOK_SHARE
        self.is_behind = any(seconds < -LATE_SECONDS for seconds in due.times.values())
        return due

    def _due(self) -> list[int]:
        """The environments in which something is due."""
        now = time.monotonic()
        return [pk for pk, moment in self.next_due.items() if moment <= now]

    def _seconds_to_due(self) -> float:
        """How long until the next step is due, by the last look."""
        return min(self.next_due.values(), default=math.inf) - time.monotonic()

    def _turn(self, done: dict[int, list[Done]]) -> bool:
        """Finishes what is done and starts what is due, environment by environment; whether there was any. They share
        the room, so that none fills every slot while another waits; who chooses first changes with each turn."""
        worked = False
        due = self._due()
        asking = [one for one in self.environments if one.pk in due or one.pk in done]
        self.environments = self.environments[1:] + self.environments[:1]
        for number, environment in enumerate(asking):
            mine = done.get(environment.pk, [])
            room = 0 if stopping.is_set() else math.ceil(max(self.crew.room, 0) / (len(asking) - number))
            if not mine and not room:
                continue
            late = _LATE.left() if self.is_behind else None
            tasks = execution.turn(
                environment=environment, done=mine, room=room, worker=self.worker, late=late
            )
            _LATE.take(sum(task.is_late for task in tasks))
            done.pop(environment.pk, None)
            if environment.pk in due and len(tasks) < room:
                del self.next_due[environment.pk]
                self.next_look = self.next_look if tasks else 0.0  # what it found due is so in a moment
            self.in_flight[environment.pk].update((_attempt(task), task) for task in tasks)
            self.crew.perform(tasks, then=self._hand_in)
            worked = worked or bool(mine or tasks)
        return worked

    def _hand_in(self, done: Done) -> None:
        """What a thread of the crew does with what it has performed. It seldom wakes the pump, which would only take
        the interpreter from the others."""
        self.finished.append(done)
        if len(self.finished) >= self.awaited:
            self.all_ended.set()
        if not self.ended.is_set():
            self.ended.set()

    def _collect(self, seconds: float) -> dict[int, list[Done]]:
        """What has been performed, by environment: waits so long for the first, then a moment for the rest."""
        if self.crew.waits and not self.ended.wait(min(seconds, PATIENCE_SECONDS)):
            self.crew.hurry()
        if self.ended.wait(seconds):
            self.awaited = sum(map(len, self.in_flight.values()))
            self.all_ended.clear()
            if len(self.finished) < self.awaited:
                self.all_ended.wait(GATHER_SECONDS)
            self.ended.clear()
        self.crew.hurry()
        done: dict[int, list[Done]] = {}
        for _ in range(len(self.finished)):
            item = self.finished.popleft()
            environment_id = item.task.claim.environment_id
            self.in_flight[environment_id].pop(_attempt(item.task), None)
            done.setdefault(environment_id, []).append(item)
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
            self._beat()
        if now >= self.next_house:
            self.next_house = now + HOUSE_SECONDS
            self._keep_house()

    def _keep_house(self) -> None:
        """Reaps, settles and archives, where there is something of it to do."""
        self.archiving = False
        look = self._look(also_owed=True)
        wanting = {*look.unsettled, *self._due()}
        more = [execution.keep_house(each) for each in self.environments if each.pk in wanting]
        self.archiving = any(more)
        if self.archiving:
            self.next_house = 0.0

    def _beat(self) -> None:
        if not execution.roster.beat(self.worker, worked=self.worked or self.full):
            _enlist.cache_clear()
            self.worker = _enlist(os.getpid())
        self.worked = False
        if time.monotonic() > _next_tidying[0]:
            _next_tidying[0] = time.monotonic() + TIDY_SECONDS
            execution.tidy()

    def _renew(self, environment: Environment, tasks: dict[_Attempt, Task]) -> None:
        """Prolongs the leases in hand; a step past its hard deadline is given up, to be taken back by others."""
        for attempt in [attempt for attempt, task in tasks.items() if task.is_overdue]:
            del tasks[attempt]
        if tasks:
            execution.renew(environment=environment, tasks=list(tasks.values()))
