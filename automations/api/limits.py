"""How often a key may ask, and how many invokes are carried out at a time: counted in this process's memory."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum

from django.conf import settings

from automations.api.errors import Denied

PATIENCE = 1.0  # seconds that an invoke waits for its turn
WAITING = 2  # invokes that may wait for it at a time, fewer than the threads that are left beside them
AS_A_RULE = 12  # invokes for which there are threads where INVOKES_AT_ONCE sets no limit
LATER = 1  # seconds; what an invoke is told for which there was no room


class Asked(StrEnum):
    """What a request asks for. Each has its limits for itself: invokes never use up what cancels may have."""

    INVOKE = "invoke"
    CANCEL = "cancel"
    OTHER = "other"


def asked_by(scope: str | None) -> Asked:
    """What an endpoint asks for that takes keys of this scope."""
    return Asked(scope) if scope in (Asked.INVOKE, Asked.CANCEL) else Asked.OTHER


def asked_by_steps(definition: object) -> Asked:
    """What a definition asks for that a request brought along; one that does nothing but cancel is a cancel."""
    steps = definition.get("steps") if isinstance(definition, dict) else None
    if not isinstance(steps, list) or not steps:
        return Asked.INVOKE
    return Asked.CANCEL if all(cancels(step) for step in steps) else Asked.INVOKE


def cancels(step: object) -> bool:
    """A cancel step, or one that is read as such on Courier's paths for want of an action."""
    if not isinstance(step, dict):
        return False
    return step.get("action") == "cancel" or (step.get("action") is None and "cancelation_token" in step)


class Buckets:
    """Token buckets: each holds what its rate gives in a second, and is full at first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: dict[tuple[int, Asked], tuple[float, float]] = {}

    def take(self, name: tuple[int, Asked], *, rate: int) -> float:
        """0 where there was a token; else the seconds until there is one, at `rate` a second."""
        with self._lock:
            now = self._clock()
            level, since = self._levels.get(name, (float(rate), now))
            level = min(level + (now - since) * rate, float(rate))
            is_free = level >= 1
            self._levels[name] = (level - 1 if is_free else level), now
        return 0.0 if is_free else (1 - level) / rate


class Room:
    """Room for so many invokes at a time. A few more wait, but not for long, and the rest are turned away: the
    threads beyond are for whoever calls off. Half of it may be lent to cancels that wait for steps in flight."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._waiting = self._lent = 0

    @contextmanager
    def lent(self, *, most: int) -> Iterator[bool]:
        """Whether one of the places could be lent at once, until the end of the block."""
        with self._changed:
            is_lent = self._inside < most and self._lent < most // 2
            self._inside += is_lent
            self._lent += is_lent
        try:
            yield is_lent
        finally:
            if is_lent:
                with self._changed:
                    self._lent -= 1
                self._leave()

    @contextmanager
    def held(self, *, most: int) -> Iterator[bool]:
        """Whether there is room for this one, which it then has until the end of the block."""
        has_room = self._enter(most)
        try:
            yield has_room
        finally:
            if has_room:
                self._leave()

    def _enter(self, most: int) -> bool:
        with self._changed:
            if self._inside >= most:
                if self._waiting >= WAITING:
                    return False
                self._waiting += 1
                try:
                    if not self._changed.wait_for(lambda: self._inside < most, PATIENCE):
                        return False
                finally:
                    self._waiting -= 1
            self._inside += 1
            return True

    def _leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify()


_buckets, _room = Buckets(), Room()


@contextmanager
def within_limits(asked: Asked, *, key_id: int) -> Iterator[None]:
    """Counts a request of that key, and has room for it until the end of the block. Denied (429) with how long to
    wait where the key has asked too often, or too many invoke at this moment."""
    rate = _rates()[asked]
    if rate and (wait := _buckets.take((key_id, asked), rate=rate)):
        message = f"this API key may ask {rate:,} times a second for this; try again later"
        raise Denied(429, "rate_limited", message, retry_after=max(math.ceil(wait), LATER))
    most = settings.INVOKES_AT_ONCE if asked is Asked.INVOKE else 0
    if not most:
        yield
        return
    with _room.held(most=most) as has_room:
        if not has_room:
            raise Denied(
                429, "too_many_at_once", "too many invokes at this moment; try again", retry_after=LATER
            )
        yield


def place_to_wait() -> AbstractContextManager[bool]:
    """Whether a request may keep its thread for seconds, until the end of the block. It may where it has the place of
    an invoke, half of which are lent so: cancels that wait and invokes never have all threads together."""
    return _room.lent(most=settings.INVOKES_AT_ONCE or AS_A_RULE)


def _rates() -> dict[Asked, int]:
    """Requests a second, of each key in each process; 0 is no limit."""
    return {
        Asked.INVOKE: settings.INVOKES_PER_SECOND,
        Asked.CANCEL: settings.CANCELS_PER_SECOND,
        Asked.OTHER: settings.REQUESTS_PER_SECOND,
    }
