"""Ties processes to their parents, so that none is left when a parent dies, however it dies (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def adopt_orphans() -> None:
    """Orphans of our children become our children, so that none can get away."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def tied_to_parent(*, with_signal: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """For Popen's `preexec_fn`: the child gets the signal when the thread that starts it dies.

    Call it in the main thread. None elsewhere than on Linux, which has no other way to cover kill -9.
    """
    if _libc is None:
        return None
    parent = os.getpid()

    def tie() -> None:
        _tie(parent, with_signal)

    return tie


def tie_forks() -> None:
    """From now on every process forked from this one, or from those, dies with the one that forked it."""
    if _libc is None:
        return
    parents: list[int] = []
    os.register_at_fork(
        before=lambda: parents.append(os.getpid()),
        after_in_parent=parents.pop,
        after_in_child=lambda: _tie(parents.pop(), signal.SIGKILL),
    )


def _tie(parent: int, with_signal: signal.Signals) -> None:
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, with_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died between fork and prctl
        os._exit(1)
