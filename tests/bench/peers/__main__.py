"""Speed, side by side in one run with peers: `python -m tests.bench.peers [name ...] [--steps N]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import percentile
from tests.bench.peers import alone, cancels
from tests.bench.peers.arena import PeerError
from tests.bench.peers.install import install, lacking
from tests.bench.peers.measure import PER_SECOND, Figures, measure
from tests.bench.peers.roster import OURS, PEERS, Peer

ALONE = {"slots": alone.slots, "idle": alone.idle}


def main() -> int:
    """0 when everybody could be measured; the figures are for reading, not for passing."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    names = [peer.name for peer in (OURS, *PEERS)]
    parser.add_argument("names", nargs="*", choices=[*names, *ALONE, "cancels", []], help="all by default")
    parser.add_argument("--steps", type=int, default=10_000, help="due at once (10,000 by default)")
    parser.add_argument("--waiting", type=int, default=200_000, help="of which some are called off")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "bench-peers", help="where peers are kept"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is stopped
    wanted = options.names or [*names, *ALONE, "cancels"]
    peers = [peer for peer in (OURS, *PEERS) if peer.name in wanted]
    known = [peer for peer in PEERS if peer in peers or ("cancels" in wanted and peer.name in cancels.NAMES)]
    install(options.cache, [peer for peer in known if lacking(peer) is None])
    failures = _compare(peers, steps=options.steps, cache=options.cache) if peers else 0
    for name, measured in ALONE.items():
        if name in wanted:
            measured(options.cache)
    if "cancels" in wanted:
        failures += cancels.compare(options.cache, waiting=options.waiting)
    return 1 if failures else 0


def _compare(peers: Sequence[Peer], *, steps: int, cache: Path) -> int:
    """Prints the table, a row as soon as it is known; how many of the peers failed."""
    print(f"{os.cpu_count()} cores, two workers each, {steps:,} steps due at once, lateness at "
          f"{PER_SECOND} due/s\n{'':<36} {'steps/s':>9} {'ours is':>9} {'late p50':>11} {'late p99':>11}",
          flush=True)  # fmt: skip
    failures, ours = 0, None
    for peer in peers:
        name = peer.name
        try:
            if (told := lacking(peer)) is None:
                figures = measure(peer, steps=steps, cache=cache)
                ours = figures if peer is OURS else ours
                name, told = f"{peer.name} {figures.version}", _row(figures, ours)
        except PeerError as error:
            told, failures = f"failed: {error}", failures + 1
        print(f"{name:<36} {told}", flush=True)
    return failures


def _row(figures: Figures, ours: Figures | None) -> str:
    ratio = f"{ours.per_second / figures.per_second:.2f}x" if ours else "-"
    late = [f"{percentile(figures.lateness, share) * 1000:,.1f} ms" if figures.lateness else "cannot wait"
            for share in (0.5, 0.99)]  # fmt: skip
    return f"{figures.per_second:>9,.0f} {ratio:>9} {late[0]:>11} {late[1]:>11}"


if __name__ == "__main__":
    sys.exit(main())
