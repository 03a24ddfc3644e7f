"""The limits of JSON values, and those of an evaluation, set once when a process starts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final

MAX_SOURCE: Final = 2_000
"""Characters of an expression."""
MAX_REQUEST: Final = 4 * 1024 * 1024
"""Bytes of JSON sent to an evaluator: expressions, data, profile and refs (escaped to ASCII)."""
MAX_DEPTH: Final = 64
"""Levels of lists and objects in a result, and in what is stored; what the API accepts as JSON."""
MAX_DOCUMENT: Final = 256 * 1024
"""Bytes of one JSON value, such as data or a profile, as compact JSON."""

MAX_TEXT: Final = 256 * 1024
"""Characters of a text with {{path}} once it is filled in."""
MAX_FILLED: Final = 1024 * 1024
"""Characters that all fields of a tree may take from what they read, together."""

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def is_too_deep(value: Any) -> bool:
    """Whether a JSON value has more than MAX_DEPTH levels; without recursion, which is what depth attacks."""
    levels, level = 0, [value]
    while level := [item for item in level if isinstance(item, list | dict)]:
        levels += 1
        if levels > MAX_DEPTH:
            return True
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return False


def size_of(value: Any) -> int:
    """The bytes of a JSON value as compact JSON."""
    return len(_COMPACT.encode(value).encode())


def finite(digits: str) -> float:
    """The number, for json's `parse_float`. ValueError where it is larger than any that can be stored."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:60]} is larger than any number that can be stored")
    return number


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluation may use, and how many run at a time."""

    time_ms: int = 300
    """CPU milliseconds of one evaluation (all expressions of a step together)."""
    memory_mb: int = 32
    """Mebibytes the JavaScript of one expression may allocate."""
    pool_size: int = 1
    """Evaluator processes of this process: 1 for workers, up to 4 for a web server's threads."""
    max_token: int = 512
    """Characters (code points) of a token."""
    wait_s: float = 1.0
    """Seconds to wait for a free evaluator."""
    recycle_after: int = 1_000
    """Evaluations after which an evaluator is replaced."""

    def __post_init__(self) -> None:
        """Refuse what cannot work: every limit is above zero."""
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above zero")
