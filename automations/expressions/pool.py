"""Shares a few evaluator processes among the threads of this process, first come, first served."""

from __future__ import annotations

import atexit
import os
import threading
from collections import Counter
from typing import Final

from automations.expressions.breaker import Breaker
from automations.expressions.errors import ExpressionError
from automations.expressions.limits import Limits
from automations.expressions.process import EvaluatorProcess


class _Waiter:
    """A thread in the queue; its signal is released when a slot is handed to it."""

    def __init__(self, owner: str) -> None:
        self.owner, self.group = owner, owner.partition("/")[0]
        self.granted = False
        self.signal = threading.Lock()
        self.signal.acquire()


class Pool:
    """At most `limits.pool_size` evaluators, started when first needed and kept.

    Owners are written `group/whose` (an environment's id, say, and an API key), and the groups take turns: of the
    one whose last slot is longest ago, a slot that becomes free goes to the thread that waited longest. So a caller
    that comes back without pause cannot overtake, nor can many of one group keep another waiting. A named owner
    never holds every evaluator of a pool of two or more.
    """

    def __init__(self, limits: Limits) -> None:
        """Start nothing yet."""
        self.limits: Final = limits
        self.round_trips = 0
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._slots = self.limits.pool_size
        self._held: Counter[str] = Counter()
        self._queue: list[_Waiter] = []
        self._turns: dict[str, int] = {}
        self._idle: list[EvaluatorProcess] = []
        self._all: set[EvaluatorProcess] = set()
        self.breaker = Breaker()

    def exchange(self, request: bytes, replies: list[bytes], *, owner: str) -> None:
        """Have one request evaluated; appends the replies as they come.

        Raises ExpressionError: busy where no evaluator became free in time, else as
        `EvaluatorProcess.exchange`.
        """
        self._acquire(owner)
        try:
            evaluator = self._take()
            self.round_trips += 1
            try:
                evaluator.exchange(request, replies)
            except BaseException:
                self._discard(evaluator)
                raise
            if evaluator.requests >= self.limits.recycle_after:
                self._discard(evaluator)
            else:
                self._put_back(evaluator)
        finally:
            self._release(owner)

    def pids(self) -> list[int]:
        """The processes of the pool, for tests and for a health page."""
        with self._lock:
            return sorted(evaluator.pid for evaluator in self._all)

    def close(self) -> None:
        """End every evaluator. The pool may be used again and starts new ones."""
        with self._lock:
            idle, everyone, self._idle, self._all = self._idle, self._all, [], set()
        for evaluator in idle:
            evaluator.kill()
        for evaluator in everyone.difference(idle):
            evaluator.interrupt()

    def forget(self) -> None:
        """After a fork, in the child: leave the evaluators to the parent, and start with none."""
        evaluators = list(self._all)
        self._begin()
        for evaluator in evaluators:
            evaluator.abandon()

    def _acquire(self, owner: str) -> None:
        waiter = _Waiter(owner)
        with self._lock:
            self._queue.append(waiter)
            self._grant()
        try:
            waiter.signal.acquire(timeout=self.limits.wait_s)
        finally:
            with self._lock:
                if not waiter.granted:
                    self._queue.remove(waiter)
        if not waiter.granted:
            raise ExpressionError("busy", "no evaluator became free in time")

    def _release(self, owner: str) -> None:
        with self._lock:
            self._slots += 1
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]
            self._grant()

    def _grant(self) -> None:
        """Hand free slots to the threads whose turn it is; the lock is held."""
        most = max(1, self.limits.pool_size - 1)
        while self._slots:
            fit = [one for one in self._queue if not one.owner or self._held[one.owner] < most]
            if not fit:
                return
            waiter = min(fit, key=lambda one: self._turns.get(one.group, 0))  # of equals the first
            self._turns[waiter.group] = max(self._turns.values(), default=0) + 1
            self._queue.remove(waiter)
            self._slots -= 1
            self._held[waiter.owner] += 1
            waiter.granted = True
            waiter.signal.release()

    def _take(self) -> EvaluatorProcess:
        while True:
            with self._lock:
                evaluator = self._idle.pop() if self._idle else None
            if evaluator is None:
                evaluator = EvaluatorProcess(self.limits)
                with self._lock:
                    self._all.add(evaluator)
                return evaluator
            if evaluator.alive:
                return evaluator
            self._discard(evaluator)

    def _put_back(self, evaluator: EvaluatorProcess) -> None:
        with self._lock:
            if evaluator in self._all:  # else the pool was closed meanwhile
                self._idle.append(evaluator)

    def _discard(self, evaluator: EvaluatorProcess) -> None:
        with self._lock:
            self._all.discard(evaluator)
        evaluator.kill()


_pool = Pool(Limits())


def current() -> Pool:
    """Give the pool of this process."""
    return _pool


def configure(
    *,
    time_ms: int = 300,
    memory_mb: int = 32,
    pool_size: int = 1,
    max_token: int = 512,
    wait_s: float = 1.0,
    recycle_after: int = 1_000,
) -> None:
    """Set the limits of this process, once when it starts; what is not named keeps its default.

    Ends the evaluators of the pool before. Raises ValueError for a limit that is not above zero.
    """
    global _pool
    limits = Limits(
        time_ms=time_ms,
        memory_mb=memory_mb,
        pool_size=pool_size,
        max_token=max_token,
        wait_s=wait_s,
        recycle_after=recycle_after,
    )
    former, _pool = _pool, Pool(limits)
    former.close()


def _forget() -> None:
    _pool.forget()


def _close() -> None:
    _pool.close()


os.register_at_fork(after_in_child=_forget)
atexit.register(_close)
