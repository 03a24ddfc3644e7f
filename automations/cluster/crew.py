"""The crew: the threads of one worker process that perform steps."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar

from automations import execution
from automations.cluster.desk import Desk
from automations.execution import Done, Task

QUICK_SECONDS = 0.0005  # a step that takes no longer, on average, is not worth a thread of its own

_Then = Callable[[Done], None]


class Crew:
    """Threads that live as long as their process, at a fraction of an executor's cost per task.

    A thread that is called takes one task after the other until none is left. One is called first: while steps take
    a fraction of a millisecond, more would only take the interpreter from each other. Whoever hands tasks out has to
    `hurry` the crew soon after, which calls a thread for each that is left where they are not so quick.

    They touch no database: `execution.perform` raises nothing and writes nothing, and what it asks goes to the desk.
    """

    _crews: ClassVar[dict[int, Crew]] = {}

    def __init__(self, size: int) -> None:
        self.size = size
        self.tasks: deque[tuple[Task, _Then]] = deque()  # not begun yet
        self.handed_out = 0  # how many there were when some were added last
        self.handed_out_at = 0.0
        # Read without a timeout. With queue.Queue a step takes its worker a fifth more of the processor.
        self.calls: queue.SimpleQueue[None] = queue.SimpleQueue()  # noqa: TID251  # one for each thread called
        self.threads: list[threading.Thread] = []
        self.counting = threading.Lock()
        self.load = 0  # tasks that are not done
        self.idle = 0  # threads that wait, and are not called

    @classmethod
    def of_this_process(cls, size: int) -> Crew:
        """The process's crew; threads do not outlive a fork."""
        return cls._crews.setdefault(os.getpid(), cls(size))

    @property
    def room(self) -> int:
        """How many more tasks would be performed at once; one whose thread is stuck is still being performed."""
        return self.size - self.load

    @property
    def waits(self) -> bool:
        """Whether some task is not begun yet."""
        return bool(self.tasks)

    def perform(self, tasks: Iterable[Task], *, then: _Then) -> None:
        """Has each task performed by a thread, which then calls `then` with what came of it."""
        if not (given := [(task, then) for task in tasks]):
            return
        with self.counting:
            self.load += len(given)
            self.tasks.extend(given)
            self.handed_out, self.handed_out_at = len(self.tasks), time.monotonic()
            self._call(1)

    def hurry(self) -> None:
        """Calls a thread for each task that is left, unless those at work take them up quickly."""
        if not (left := len(self.tasks)):
            return
        with self.counting:
            begun = self.handed_out - left
            if time.monotonic() - self.handed_out_at > begun * QUICK_SECONDS:
                self._call(left)

    def _call(self, count: int) -> None:
        """So many threads that wait, or new ones; where there are no more, those at work come to it."""
        for _ in range(count):
            if self.idle:
                self.idle -= 1
                self.calls.put(None)
            elif len(self.threads) < self.size:
                thread = threading.Thread(target=self._work, name=f"step-{len(self.threads)}", daemon=True)
                self.threads.append(thread)
                thread.start()

    def _work(self) -> None:
        while True:
            while self.tasks:
                self._take()
            with self.counting:
                if self.tasks:
                    continue
                self.idle += 1
            self.calls.get()

    def _take(self) -> None:
        try:
            task, then = self.tasks.popleft()
        except IndexError:  # another thread was quicker
            return
        done = execution.perform(task, ask=Desk.of_this_process().ask)
        with self.counting:
            self.load -= 1
        then(done)
