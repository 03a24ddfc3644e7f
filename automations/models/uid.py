"""Makes time-ordered public ids."""

from __future__ import annotations

import os
import time
import uuid
from datetime import datetime


def new_uid() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return uuid.UUID(int=value)


def first_uid(moment: datetime) -> uuid.UUID:
    """The lowest id that can have been made at the moment: what was made before it is less."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
