"""What many threads hand to one."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from queue import Empty
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue with any number of writers and one reader, who waits no longer than asked.

    Not `queue.SimpleQueue`: where the time is over before its `get` has waited at all, as on a busy machine, what is
    left of it is less than nothing, and CPython (3.11) takes that for no limit and waits for ever. `queue.Queue` does
    not, at several times the cost.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._bell = threading.Lock()  # free where it has rung since the reader last heard it
        self._bell.acquire()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Hands it to the reader."""
        self._items.append(item)
        with suppress(RuntimeError):  # it rings already
            self._bell.release()

    def get(self, *, timeout: float) -> T:
        """The oldest item, waited for at most so many seconds; queue.Empty where none came."""
        until = time.monotonic() + timeout
        while not self._items:
            left = until - time.monotonic()
            if left <= 0 or not self._bell.acquire(timeout=left):
                raise Empty
        return self._items.popleft()
