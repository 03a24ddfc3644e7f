"""Holds a function at a named test point, in a thread and on a connection of its own, while a test acts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from django.db import connection

from automations import testpoints

T = TypeVar("T")
S = TypeVar("S")

LIMIT_SECONDS = 15.0  # longer than any of this takes, and shorter than SQLite's busy timeout
# On SQLite nobody can see who waits for the writer: beside a writer, what has not ended by then does.
QUIET_SECONDS = 0.01
_this_thread = threading.local()


class Worker(Generic[T]):
    """A function under way in its own thread. Whatever happens, it waits for nobody longer than 15 seconds."""

    def __init__(self, function: Callable[[], T], *, at: str | None = None) -> None:
        self._function = function
        self._at = at
        self._state = threading.Condition()
        self._is_held = self._has_ended = self._writes = False
        self._answers: list[T] = []
        self._error: BaseException | None = None
        self._backend: int | None = None
        self._beside: list[Worker[Any]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether it returned or raised."""
        return self._has_ended

    def meanwhile(self, function: Callable[[], S]) -> Worker[S]:
        """Starts another function beside this one; comes back when it has ended or waits for a lock."""
        other = Worker(function)
        self._beside.append(other)
        other.go_as_far_as_it_can(beside_a_writer=self._writes)
        return other

    def go_on(self, *, to: str) -> None:
        """Lets it go, up to another test point."""
        self._let_go(to=to)
        self.arrive()

    def result(self) -> T:
        """Lets it go to its end: what it returned. Raises what it raised."""
        self._let_go(to=None)
        self._thread.join(LIMIT_SECONDS)
        assert not self._thread.is_alive(), f"not done {LIMIT_SECONDS} s after it was let go"
        if self._error is not None:
            raise self._error
        return self._answers[0]

    def arrive(self, *, always: bool = True) -> None:
        """Waits until it is held. Fails when it takes too long or, if it should pass `always`, when it ends
        without passing the point."""
        with self._state:
            self._state.wait_for(lambda: self._is_held or self._has_ended, LIMIT_SECONDS)
        if self._error is not None:
            raise self._error
        if always or not self._has_ended:
            assert self._is_held, f"it {'ended' if self._has_ended else 'hangs'} without passing {self._at}"

    def go_as_far_as_it_can(self, *, beside_a_writer: bool = True) -> None:
        """Lets it go; comes back when it has ended, or waits for a lock that another transaction holds."""
        self._let_go(to=None)
        is_blind = connection.vendor != "postgresql" and beside_a_writer
        until = time.monotonic() + (QUIET_SECONDS if is_blind else LIMIT_SECONDS)
        while not self._has_ended and not self._waits_for_a_lock() and time.monotonic() < until:
            with self._state:
                self._state.wait_for(lambda: self._has_ended, 0.002)

    def end(self) -> None:
        """Lets it and all beside it go to their ends. Raises what one of them raised."""
        self.join()
        for worker in (self, *self._beside):
            worker.result()

    def join(self) -> None:
        """The same, and raises nothing: for a test that fails anyway."""
        self._let_go(to=None)
        for worker in (self, *self._beside):
            worker._thread.join(LIMIT_SECONDS)

    def _let_go(self, *, to: str | None) -> None:
        with self._state:
            self._at, self._is_held = to, False
            self._state.notify_all()

    def _waits_for_a_lock(self) -> bool:
        if self._backend is None:
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", [self._backend])
            return bool(cursor.fetchone() == ("Lock",))

    def _run(self) -> None:
        _this_thread.worker = self
        try:
            connection.ensure_connection()
            if connection.vendor == "postgresql":
                self._backend = connection.connection.info.backend_pid
            self._answers.append(self._function())
        except BaseException as error:
            self._error = error
        finally:
            connection.close()
            with self._state:
                self._has_ended = True
                self._state.notify_all()

    def _pass(self, name: str) -> None:
        with self._state:
            if name != self._at:
                return
            self._at, self._is_held, self._writes = None, True, connection.in_atomic_block
            self._state.notify_all()
            released = self._state.wait_for(lambda: not self._is_held, LIMIT_SECONDS)
        assert released, f"held at {name} for {LIMIT_SECONDS} s, and nobody let it go"


@contextmanager
def held(function: Callable[[], T], *, at: str, always: bool = True) -> Iterator[Worker[T]]:
    """The function, held the first time it passes the test point `at`, while the block runs. Unless it passes
    there `always`, it may as well have ended.

    After the block, it and what was started beside it have come to their ends, and what they raised is raised.
    """
    with testpoints.watched(_pass):
        worker = Worker(function, at=at)
        try:
            worker.arrive(always=always)
            yield worker
        except BaseException:
            worker.join()
            raise
        worker.end()


def overlap(first: Callable[[], T], second: Callable[[], S], *, at: str, always: bool = True) -> tuple[T, S]:
    """What both returned: `first` is held at the point until `second` has ended or waits for it."""
    with held(first, at=at, always=always) as worker:
        other = worker.meanwhile(second)
    return worker.result(), other.result()


def _pass(name: str) -> None:
    worker = getattr(_this_thread, "worker", None)
    if worker is not None:
        worker._pass(name)
