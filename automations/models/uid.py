"""Makes time-ordered public ids."""

from __future__ import annotations

import os
import time
import uuid
from datetime import datetime


def new_uid() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562, method 3): 48 bits of milliseconds and 12 of a millisecond's parts, so that ids
    of one process follow the order in which they are made; then 62 random bits."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    part = (rest << 12) // 1_000_000
    chance = int.from_bytes(os.urandom(8), "big") >> 2
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | part << 64 | 0x2 << 62 | chance)


def first_uid(moment: datetime) -> uuid.UUID:
    """The lowest id that can have been made at the moment: what was made before it is less."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
