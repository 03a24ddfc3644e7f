"""The crew: the threads of one worker process that perform steps."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import ClassVar

from automations import execution
from automations.cluster.desk import Desk
from automations.execution import Done, Task

_Then = Callable[[Done], None]


class Crew:
    """Threads that live as long as their process, at a fraction of an executor's cost per task.

    They touch no database: `execution.perform` raises nothing and writes nothing, and what it asks goes to the desk.
    """

    _crews: ClassVar[dict[int, Crew]] = {}

    def __init__(self, size: int) -> None:
        self.size = size
        # Read without a timeout. With queue.Queue a step takes its worker a fifth more of the processor.
        self.orders: queue.SimpleQueue[tuple[Task, _Then]] = queue.SimpleQueue()  # noqa: TID251
        self.threads: list[threading.Thread] = []
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

    def perform(self, task: Task, *, then: _Then) -> None:
        """Has the task performed by the next free thread, which then calls `then` with what came of it."""
        with self.counting:
            self.load += 1
            wanting = self.load > len(self.threads) and len(self.threads) < self.size
        if wanting:
            thread = threading.Thread(target=self._work, name=f"step-{len(self.threads)}", daemon=True)
            self.threads.append(thread)
            thread.start()
        self.orders.put((task, then))

    def _work(self) -> None:
        while True:
            task, then = self.orders.get()
            done = execution.perform(task, ask=Desk.of_this_process().ask)
            with self.counting:
                self.load -= 1
            then(done)
