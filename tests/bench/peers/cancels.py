"""What it takes to call off what waits: one by one, and the many of one token in one go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import percentile
from tests.bench.peers.arena import PeerError, prepared
from tests.bench.peers.install import lacking
from tests.bench.peers.roster import OURS, PEERS, Peer

NAMES = ("graphile-worker", "bullmq", "dbos")
SINGLE = 500
A_WEEK = 7 * 86_400.0


def compare(cache: Path, *, waiting: int) -> int:
    """Prints a row for each, with half of `waiting` steps under one token; how many failed. Who has no tokens is given
    the ids of the many, which its application would have to keep and to find."""
    print(f"\n{waiting:,} waiting, {SINGLE} called off one by one, then {waiting // 2:,} of one token\n"
          f"{'':<36} {'one, p50':>11} {'one, p99':>11} {'the many':>12} {'ours is':>9}", flush=True)  # fmt: skip
    failures, ours = 0, None
    for peer in (OURS, *(peer for peer in PEERS if peer.name in NAMES)):
        name = peer.name
        try:
            if (told := lacking(peer)) is None:
                name, single, many = measured(peer, cache=cache, waiting=waiting)
                ours = ours or many
                one = [f"{percentile(single, share) * 1000:,.2f} ms" for share in (0.5, 0.99)]
                told = f"{one[0]:>11} {one[1]:>11} {many * 1000:>9,.0f} ms {many / ours:>8,.0f}x"
        except PeerError as error:
            told, failures = f"failed: {error}", failures + 1
        print(f"{name:<36} {told}", flush=True)
    return failures


def measured(peer: Peer, *, cache: Path, waiting: int) -> tuple[str, Sequence[float], float]:
    """The peer with its version, the seconds of each single cancel, and those of the one of many."""
    due, many = time.time() + A_WEEK, waiting // 2
    with prepared(peer, cache=cache) as arena:
        tokens = ["many" if index < many else f"one-{index}" for index in range(waiting)]
        arena.create([due] * waiting, tokens=tokens)
        single = arena.cancel(list(range(waiting - SINGLE, waiting)))
        return f"{peer.name} {arena.version}", single, arena.cancel_many()
