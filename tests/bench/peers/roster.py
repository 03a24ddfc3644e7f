"""Who is compared: how each one's program is run, what it stores its steps in, and what it cannot do."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = "tests.bench.peers.programs"
APT = "apt-get install -y redis-server nodejs npm"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One queue with two workers. `runtime` is node, python (that of the cache) or ours (this one); `processes`
    how many commands make the two workers; a peer that is not `waiting` starts whatever it is given at once;
    `most` steps are all that is asked of it."""

    name: str
    program: str
    runtime: str = "python"
    store: str = "postgresql"
    processes: int = 2
    waiting: bool = True
    most: int = 1_000_000
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, cache: Path, *words: str) -> Sequence[str | Path]:
        """Runs its program with these words: `drive`, or `work` and a number."""
        if self.runtime == "node":
            return ["node", Path(__file__).parent / "programs" / f"{self.program}.mjs", *words]
        if self.program == "ours" and words[0] == "work":
            return [sys.executable, "-m", "django", "cluster"]
        python = cache / "python" / "bin" / "python" if self.runtime == "python" else sys.executable
        return [python, "-m", f"{PROGRAMS}.{self.program}", *words]

    @property
    def runtimes(self) -> Sequence[str]:
        """The programs the machine must have."""
        redis = ["redis-server"] if self.store == "redis" else []
        return [*redis, "node", "npm"] if self.runtime == "node" else redis


# As many at once as BullMQ's worker is given, where 64 are the default.
_OURS = {"SLOTS": "100", "DJANGO_SETTINGS_MODULE": "tests.bench.peers.settings", "NO_BOOTSTRAP": "1"}
OURS = Peer(name="countermand", program="ours", runtime="ours", processes=1, environment=_OURS)
PEERS = (
    Peer(name="graphile-worker", program="graphile", runtime="node"),
    Peer(name="graphile-worker in batches", program="graphile", runtime="node", environment={"BATCHES": "1"}),
    Peer(name="bullmq", program="bullmq", runtime="node", store="redis"),
    Peer(name="dbos", program="dbos"),
    Peer(name="procrastinate", program="procrastinate"),
    Peer(name="celery", program="celery", store="redis"),
    Peer(name="django-q2 Schedule", program="django_q", runtime="ours", processes=1, most=2_000),
    Peer(
        name="django-q2 async_task", program="django_q", runtime="ours", processes=1, waiting=False, most=5_000,
        environment={"BY": "async_task"},
    ),
)  # fmt: skip
