"""The broker: hands a django-q2 worker a hint when something is due; it remembers nothing."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.db import OperationalError, connection
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.signing import SignedPackage

from automations import execution
from automations.models import new_uid

POLL_SECONDS = 0.1  # ten statements a second when idle
HEAD_START_SECONDS = 0.15  # a pump is handed out this early, and waits for the moment itself
QUEUE_SECONDS = 2.0
BEAT_SECONDS = 5.0  # a hint with nothing due, for signs of life and house-keeping ...
HOUSE_SECONDS = 1.0  # ... which is as often as that while lost steps settle or cancelled runs are archived
OWED_SECONDS = 1.0  # how often it asks whether anything is owed to others
AWAY_SECONDS = 1.0
NO_TIMEOUT = -1  # the pump ends itself: with work in hand it goes on, however long that takes

PUMP = "automations.cluster.pump.run_pump"


class DueWork(ORM):
    """django-q2's ORM broker, which besides its own queue (ordinary tasks) looks for due work.

    A hint is not stored and not acknowledged: losing one, or carrying it out twice, changes nothing.
    """

    next_beat = 0.0
    next_house = 0.0
    next_queue = 0.0
    next_owed = 0.0

    def dequeue(self) -> list[tuple[Any, str]] | None:
        """The next hint or ordinary task; None after a short wait in which nothing was due."""
        try:
            return self._look()
        except OperationalError:  # the database is away: django-q2 would sleep 10 s and replace the pusher
            connection.close()
            time.sleep(AWAY_SECONDS)
            return None

    def _look(self) -> list[tuple[Any, str]] | None:
        now = time.monotonic()
        if now >= self.next_queue:
            self.next_queue = now + QUEUE_SECONDS
            if self.queue_size():
                ordinary: list[tuple[Any, str]] | None = super().dequeue()
                return ordinary
        due = execution.what_is_due(also_owed=now >= self.next_owed)
        if now >= self.next_owed:
            self.next_owed = now + OWED_SECONDS
        is_near = due.seconds is not None and due.seconds <= HEAD_START_SECONDS
        if not is_near and not due.owed and now < (self.next_house if due.unsettled else self.next_beat):
            time.sleep(POLL_SECONDS)
            return None
        self.next_house, self.next_beat = now + HOUSE_SECONDS, now + BEAT_SECONDS
        return [(None, _hint(timezone.now()))]


def _hint(now: datetime) -> str:
    """A signed django-q2 task that runs the pump."""
    package = {
        "id": new_uid().hex,
        "name": "pump",
        "func": PUMP,
        "args": (),
        "kwargs": {},
        "started": now,
        "timeout": NO_TIMEOUT,
        "ack_failure": True,
    }
    text: str = SignedPackage.dumps(package)
    return text
