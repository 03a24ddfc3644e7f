"""The crew: the threads of one worker process that perform steps."""

from __future__ import annotations

import os
import queue
import threading
from typing import ClassVar

from automations import execution
from automations.cluster.desk import Desk
from automations.execution import Done, Task

_Order = tuple[Task, "queue.Queue[Done]"]


class Crew:
    """Threads that live as long as their process, at a fraction of an executor's cost per task.

    They touch no database: `execution.perform` raises nothing and writes nothing, and what it asks goes to the desk.
    """

    _crews: ClassVar[dict[int, Crew]] = {}

    def __init__(self, size: int) -> None:
        self.size = size
        self.orders: queue.Queue[_Order] = queue.Queue()
        self.threads: list[threading.Thread] = []
        self.idle = threading.Semaphore(0)
        self.counting = threading.Lock()
        self.load = 0

    @classmethod
    def of_this_process(cls, size: int) -> Crew:
        """The process's crew; threads do not outlive a fork."""
        return cls._crews.setdefault(os.getpid(), cls(size))

    @property
    def room(self) -> int:
        """How many more tasks would be performed at once; one whose thread is stuck is still being performed."""
        return self.size - self.load

    def perform(self, task: Task, *, into: queue.Queue[Done]) -> None:
        """Has the task performed by the next free thread; the outcome is put `into` the queue."""
        with self.counting:
            self.load += 1
        if not self.idle.acquire(blocking=False) and len(self.threads) < self.size:
            thread = threading.Thread(target=self._work, name=f"step-{len(self.threads)}", daemon=True)
            self.threads.append(thread)
            thread.start()
        self.orders.put((task, into))

    def _work(self) -> None:
        while True:
            task, into = self.orders.get()
            done = execution.perform(task, ask=Desk.of_this_process().ask)
            with self.counting:
                self.load -= 1
            into.put(done)
            self.idle.release()
