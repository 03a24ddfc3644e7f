"""The post: the threads of one worker process that tell webhook endpoints and carry out `on_cancel`, beside the
pump, which they never hold up."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import Counter
from multiprocessing.synchronize import Event
from typing import ClassVar
from uuid import UUID

from django.db import Error, connection

from automations import execution
from automations.notices import delivery
from automations.notices.delivery import Answered, Parcel

SENDERS = 16
STARTS_AT_ONCE = 20
GATHER_SECONDS = 0.25
AWAY_SECONDS = 1.0

log = logging.getLogger(__name__)


class Post:
    """One thread with a connection to the database, which takes in hand and writes back, and senders without.

    Whatever it had in hand when its process ends is due again when its lease is over.
    """

    _posts: ClassVar[dict[int, Post]] = {}

    def __init__(self, until: Event) -> None:
        self.until = until  # from then on it takes nothing more in hand
        self.awake = threading.Event()
        self.parcels: queue.Queue[Parcel] = queue.Queue()
        self.answers: queue.Queue[Answered] = queue.Queue()
        self.unnoted: list[Answered] = []
        self.busy: Counter[UUID] = Counter()
        self.senders = 0
        threading.Thread(target=self._work, name="post", daemon=True).start()

    @classmethod
    def of_this_process(cls, *, until: Event) -> Post:
        """The process's post; threads do not outlive a fork."""
        if os.getpid() not in cls._posts:
            cls._posts[os.getpid()] = cls(until)
        return cls._posts[os.getpid()]

    def wake(self) -> None:
        """Says that something is owed; returns at once."""
        self.awake.set()

    def _work(self) -> None:
        while True:
            self.awake.wait()
            self.awake.clear()
            while self._round():
                pass
            connection.close()

    def _round(self) -> bool:
        """Writes back what was answered and takes on what is due; whether there is more to come."""
        try:
            self._note()
            taken = self._take()
        except Error:  # the database is away; what is in hand stays there
            log.exception("the post could not reach the database")
            connection.close()
            time.sleep(AWAY_SECONDS)
            return True
        except Exception:
            log.exception("the post stumbled")
            time.sleep(AWAY_SECONDS)
            return bool(self.busy)
        return taken or bool(self.busy)

    def _note(self) -> None:
        """Waits a moment for the first answer, if any is due, and notes all that have come."""
        while True:
            try:
                in_hand = self.busy.total() > len(self.unnoted)
                wait = GATHER_SECONDS if in_hand and not self.unnoted else 0.0
                self.unnoted.append(self.answers.get(timeout=wait))
            except queue.Empty:
                break
        while self.unnoted:
            answered = self.unnoted[0]
            delivery.note(answered)
            del self.unnoted[0]
            self.busy -= Counter([answered.parcel.endpoint_id])

    def _take(self) -> bool:
        """Hands out what is due; whether there was any."""
        if self.until.is_set():
            return False
        parcels = delivery.claim(most=SENDERS - self.busy.total(), busy=self.busy)
        for parcel in parcels:
            self.busy[parcel.endpoint_id] += 1
            self.parcels.put(parcel)
        while self.senders < min(self.busy.total(), SENDERS):
            threading.Thread(target=self._send, name=f"sender-{self.senders}", daemon=True).start()
            self.senders += 1
        return bool(execution.start_what_follows(most=STARTS_AT_ONCE)) or bool(parcels)

    def _send(self) -> None:
        while True:
            self.answers.put(delivery.send(self.parcels.get()))
