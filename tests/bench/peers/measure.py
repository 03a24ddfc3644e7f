"""What is measured of every peer: steps a second when all are due at once, and how late they start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.peers.arena import Arena, PeerError, prepared
from tests.bench.peers.roster import Peer

PER_SECOND = 200
SECONDS = 10
CREATED_PER_SECOND = 1_000  # what every peer at least manages
LEAD_SECONDS = 2.0
PATIENCE_SECONDS = 70.0  # django-q2 looks at its schedules every half minute
SLOWEST = 200  # steps a second; who is slower is not waited for


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A peer's version, steps a second from the first start to the last recorded finish, how many steps that
    were, and the lateness of each start in seconds (none of a peer that cannot wait)."""

    version: str
    steps: int
    per_second: float
    lateness: Sequence[float] = ()


def measure(peer: Peer, *, steps: int, cache: Path) -> Figures:
    """The figures of one peer, on a store of its own. PeerError when it does not do its steps."""
    steps = min(steps, peer.most)
    with prepared(peer, cache=cache) as arena:
        if not peer.waiting:
            arena.create([time.time()] * steps)
            with arena.working():
                return Figures(version=arena.version, steps=steps, per_second=_rate(arena, steps))
        with arena.working():
            rate = throughput(arena, steps)
            dues = _create_ahead(arena, [index / PER_SECOND for index in range(PER_SECOND * SECONDS)])
            arena.finished(len(dues), seconds=dues[-1] - time.time() + PATIENCE_SECONDS)
            late = [at - dues[index] for index, at in arena.starts()]
        return Figures(version=arena.version, steps=steps, per_second=rate, lateness=late)


def throughput(arena: Arena, steps: int) -> float:
    """Steps a second of so many that are due at one moment, for which the workers wait."""
    _create_ahead(arena, [0.0] * steps)
    return _rate(arena, steps)


def _create_ahead(arena: Arena, offsets: Sequence[float]) -> list[float]:
    """Steps due so many seconds after a moment soon after their creation; when each is due (epoch seconds)."""
    first = time.time() + LEAD_SECONDS + len(offsets) / CREATED_PER_SECOND
    dues = [first + offset for offset in offsets]
    arena.create(dues)
    if time.time() > first:
        raise PeerError(f"created fewer than {CREATED_PER_SECOND:,} steps a second")
    return dues


def _rate(arena: Arena, steps: int) -> float:
    """Steps a second, from the first start to the last recorded finish."""
    lead = LEAD_SECONDS + steps / CREATED_PER_SECOND
    last = arena.finished(steps, seconds=lead + PATIENCE_SECONDS + steps / SLOWEST)
    starts = arena.starts()
    if len({index for index, _ in starts}) != steps:
        raise PeerError(f"{len(starts):,} starts of {steps:,} steps")
    return steps / (last - min(at for _, at in starts))
