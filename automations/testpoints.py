"""Named places in the protocol where a test can hold or slow whoever passes; nothing happens there otherwise.

A race is only as good a test as the moment it strikes: with these a test strikes at the worst one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

NAMES = (
    "gate.passed",  # in every transaction that moves runs, before it reads or writes anything
    "invoke.prepared", "invoke.committed",
    "start.moved", "start.committed",
    "effect.begins", "effect.sends", "effect.ended",
    "finish.begins", "finish.moved", "finish.committed",
    "cancel.begins", "cancel.moved", "cancel.committed", "descend.begins", "descend.seen", "child.born", "wake.moved",
    "bar.placed", "sweep.moved", "sweep.looked",
    "event.placed", "event.judged", "event.moved",
    "renew.begins", "reschedule.moved",
    "disable.placed", "disable.committed", "park.moved", "enable.moved", "resume.read",
    "undo.moved", "undo.committed", "undo.read", "scheduled.read",
    "reap.read", "settle.read", "archive.read",
    "delivery.read",
)  # fmt: skip

Passer = Callable[[str], None]
_passer: Passer | None = None


def testpoint(name: str) -> None:
    """Says that this place is passed."""
    if _passer is not None:
        _passer(name)


def watch(passer: Passer | None) -> None:
    """From now on `passer` is called with the name of each place passed, in the thread that passes it."""
    global _passer
    _passer = passer


@contextmanager
def watched(passer: Passer) -> Iterator[None]:
    """`watch` for the length of a block."""
    before = _passer
    watch(passer)
    try:
        yield
    finally:
        watch(before)
