"""Remembers expressions that keep timing out, so that one of them cannot cost 350 ms on every invoke."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Final

STRIKES: Final = 3
"""Time-outs in a row that open the breaker of an expression."""
OPEN_S: Final = 30.0
"""Seconds it stays open; then one evaluation is let through to see."""
_MOST: Final = 1024

Key = tuple[str, str]
"""Owner and source: one caller's expression cannot break another's."""


class Breaker:
    """Counts time-outs in a row by owner and source; the oldest entries make room for new ones."""

    def __init__(self) -> None:
        """Start with nothing remembered."""
        self._lock = threading.Lock()
        self._strikes: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    def refuses(self, key: Key) -> bool:
        """Whether the expression must not be tried now. Saying no after OPEN_S lets this one caller try."""
        if key not in self._strikes:
            return False
        with self._lock:
            strikes, until = self._strikes.get(key, (0, 0.0))
            if strikes < STRIKES:
                return False
            now = time.monotonic()
            if now < until:
                return True
            self._strikes[key] = (strikes, now + OPEN_S)
            return False

    def timed_out(self, key: Key) -> None:
        """Note one more time-out."""
        with self._lock:
            strikes = self._strikes.pop(key, (0, 0.0))[0] + 1
            self._strikes[key] = (strikes, time.monotonic() + OPEN_S)
            while len(self._strikes) > _MOST:
                self._strikes.popitem(last=False)

    def ended(self, key: Key) -> None:
        """Note that it came to an end in time, whatever the end."""
        if key in self._strikes:
            with self._lock:
                self._strikes.pop(key, None)
