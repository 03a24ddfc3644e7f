"""What is measured of ours alone: how well its slots are used, and what it costs while everything waits."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import psycopg

from tests.bench.figures import line
from tests.bench.peers.arena import prepared
from tests.bench.peers.measure import throughput
from tests.bench.peers.roster import OURS

EFFECT_SECONDS = 0.1
SLOTS = 64
ALLOWED = 2 * SLOTS / EFFECT_SECONDS  # two workers
STEPS = 10_000
WAITING = 1_000_000
IDLE_SECONDS = 30
SETTLE_SECONDS = 10

COPIES = """
CREATE TEMP TABLE copy AS
SELECT nextval('automations_run_id_seq') AS id, gen_random_uuid() AS uid, n FROM generate_series(1, {count}) n
"""
COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
# What a copy of a waiting run has of its own, by column.
OWN = {
    "id": "copy.id",
    "run_id": "copy.id",
    "uid": "copy.uid",
    "recipient": "copy.n::text",
    "due_at": "seed.due_at + copy.n * interval '1 ms'",
}


def slots(cache: Path) -> None:
    """Steps a second whose effect takes 100 ms, beside what the slots allow."""
    peer = replace(
        OURS, environment={**OURS.environment, "SLOTS": str(SLOTS), "EFFECT_SECONDS": str(EFFECT_SECONDS)}
    )
    with prepared(peer, cache=cache) as arena, arena.working():
        rate = throughput(arena, STEPS)
    line(f"100 ms effect, steps/s (of {ALLOWED:,.0f}; at least 0.85)", f"{rate:,.0f} = {rate / ALLOWED:.2f}")


def idle(cache: Path) -> None:
    """Statements and processor time while a million runs wait."""
    peer = replace(OURS, waiting=False)
    with prepared(peer, cache=cache) as arena:
        arena.create([time.time() + 86_400])
        with psycopg.connect(arena.url, autocommit=True) as connection:
            _fill(connection, WAITING - 1)
            connection.execute("ALTER DATABASE postgres SET log_statement = 'all'")
        log = Path(arena.url.partition("host=")[2]) / "log"
        with arena.working() as pid:
            time.sleep(SETTLE_SECONDS)
            statements, used = _statements(log), _processor_seconds(pid)
            time.sleep(IDLE_SECONDS)
            statements, used = _statements(log) - statements, _processor_seconds(pid) - used
    line(f"{WAITING:,} waiting, statements/s (at most 12)", f"{statements / IDLE_SECONDS:.1f}")
    line(f"{WAITING:,} waiting, % of a core (at most 2)", f"{used / IDLE_SECONDS:.2%}")


def _fill(connection: psycopg.Connection[tuple[str, ...]], count: int) -> None:
    """So many copies of the only run and its live row, in compact tables."""
    connection.execute(COPIES.format(count=count))
    for table in ("automations_run", "automations_liverun"):
        columns = [str(name) for (name,) in connection.execute(COLUMNS.format(table=table))]
        names, values = ", ".join(columns), ", ".join(OWN.get(name, f"seed.{name}") for name in columns)
        connection.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} seed, copy")
        connection.execute(f"VACUUM ANALYZE {table}")


def _statements(log: Path) -> int:
    """How many statements the server has logged."""
    with log.open(errors="replace") as lines:
        return sum("LOG:  statement: " in text or "LOG:  execute " in text for text in lines)


def _processor_seconds(pid: int) -> float:
    """What the process and all below it have used so far (Linux)."""
    parents, used = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        process = int(file.parent.name)
        parents[process], used[process] = int(fields[1]), int(fields[11]) + int(fields[12])
    mine = {pid}
    while more := {child for child, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return sum(used[process] for process in mine) / os.sysconf("SC_CLK_TCK")
