"""The step every Python peer performs, and the driver's half of the talk; of the standard library alone."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

STORE = os.environ.get("STORE_URL", "")
Item = dict[str, Any]
"""One step to create: its `index`, the epoch seconds at which it is `due`, some `data` to carry, and perhaps the
`token` that it is to be called off by."""


def stamp(index: int) -> None:
    """All that a step does: notes that it was started, and when."""
    os.write(_file(os.getpid()), b"%010d %017.6f\n" % (index, time.time()))


@cache
def _file(pid: int) -> int:
    path = Path(os.environ["STAMPS"]) / f"{pid}.stamps"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def serve(
    *,
    version: str,
    create: Callable[[Sequence[Item]], object],
    left: Callable[[], int],
    cancel: Callable[[int], object] | None = None,
    cancel_many: Callable[[], object] | None = None,
) -> None:
    """Tells the version, then does what the lines of standard input ask: `create` these items; `cancel` those with
    these indexes, one after the other, or the `many` that were created with a token (the seconds of each call are
    the answer); or tell how many steps are `left` that the peer has not recorded as finished."""
    _say(version)
    for line in sys.stdin:
        question = json.loads(line)
        if "create" in question:
            create(question["create"])
            _say(None)
        elif cancel is not None and "cancel" in question:
            _say([_seconds(partial(cancel, index)) for index in question["cancel"]])
        elif cancel_many is not None and "many" in question:
            _say([_seconds(cancel_many)])
        else:
            _say(left())


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
