"""Which faults a run draws from, and how often each; PostgreSQL and SQLite have different ones."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.faults import (
    CutCommits,
    CutConnections,
    EndSessions,
    Fault,
    Freeze,
    FullDisk,
    HoldSqlite,
    Kill,
    LockTable,
    Restart,
    StopPostgres,
    TermThenKill,
    WrongClock,
)

Deck = Sequence[tuple[int, Fault]]

BEYOND_LEASE = (2.2, 3.0)  # seconds
BEYOND_DEADLINE = (8.0, 10.0)  # of a step and its grace

KILLS: Deck = [
    (8, Kill(role="worker")),
    (2, Kill(role="pusher")),
    (2, Kill(role="monitor")),
    (4, Kill(role="evaluator")),
    (3, Kill(role="web worker")),
    (1, Kill(role="sentinel")),
    (1, Kill(role="tree")),
]
HARD_KILLS: Deck = [
    (1, Kill(role="watchdog")),
    (1, Kill(role="web")),
    (1, TermThenKill(role="tree")),
    (1, Restart()),
]
FREEZES: Deck = [
    (4, Freeze(roles=("worker",), name="one worker", seconds=BEYOND_LEASE)),
    (1, Freeze(roles=Freeze.TREE, name="the tree", seconds=BEYOND_LEASE)),
]
LONG_FREEZES: Deck = [
    (1, Freeze(roles=("worker",), name="one worker past the deadline", seconds=BEYOND_DEADLINE)),
    (1, Freeze(roles=(*Freeze.TREE, "watchdog"), name="all workers past the deadline", seconds=BEYOND_DEADLINE)),
]  # fmt: skip
CONNECTIONS: Deck = [
    (5, EndSessions()),
    (5, CutConnections()),
    (8, CutCommits(seconds=(0.1, 0.4))),
    (2, LockTable(seconds=(0.5, 2.5))),
    (1, StopPostgres(seconds=(0.2, 1.0))),
]
FILES: Deck = [(6, HoldSqlite(seconds=(0.1, 3.0))), (2, FullDisk(seconds=(0.5, 2.0)))]

POSTGRES_SHORT: Deck = [*KILLS, (1, TermThenKill(role="tree")), *FREEZES, *CONNECTIONS]
SQLITE_SHORT: Deck = [*KILLS, *FREEZES, *FILES]
CLOCKS: Deck = [(1, WrongClock(seconds=(6.0, 8.0)))]
POSTGRES: Deck = [*KILLS, *HARD_KILLS, *FREEZES, *LONG_FREEZES, *CONNECTIONS, *CLOCKS]
SQLITE: Deck = [*KILLS, *HARD_KILLS, *FREEZES, *LONG_FREEZES, *FILES]
