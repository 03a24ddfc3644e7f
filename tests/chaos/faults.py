"""The faults, one small class each: injected, held for a while, healed."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from automations.cluster.parentage import tied_to_parent
from tests.chaos.census import census
from tests.chaos.database import Postgres, Sqlite
from tests.chaos.history import History

LOCK_PATIENCE = "2s"
STOP_SECONDS = 15.0
TERM_HEAD_START = 0.2  # seconds between TERM and KILL


@dataclass(frozen=True, kw_only=True)
class Site:
    """What faults are injected into: the product's first process, its database, and where they are noted."""

    product: int
    environment: Mapping[str, str]
    database: Postgres | Sqlite
    history: History

    def people(self) -> Mapping[str, Sequence[int]]:
        """The product's processes by role."""
        return census(self.product)


class NotNow(Exception):
    """There is nothing to strike at this moment."""


@dataclass(kw_only=True)
class Fault:
    """`seconds`: how long it is held, from and to."""

    seconds: tuple[float, float] = (0.0, 0.0)
    held: list[Any] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return type(self).__doc__ or ""

    def inject(self, site: Site, draw: random.Random) -> None:
        """Strikes. Raises NotNow where it cannot."""
        raise NotImplementedError

    def heal(self, site: Site) -> None:
        """Ends what `inject` began; for a killed process that is its supervisor's to do."""


@dataclass(kw_only=True)
class Kill(Fault):
    """kill -9"""

    role: str

    @property
    def kind(self) -> str:
        return f"kill -9 {self.role}"

    def inject(self, site: Site, draw: random.Random) -> None:
        _signal([draw.choice(_those(site, self.role))], signal.SIGKILL)


@dataclass(kw_only=True)
class TermThenKill(Fault):
    """TERM, and KILL before it could end in order"""

    role: str

    @property
    def kind(self) -> str:
        return f"TERM then KILL {self.role}"

    def inject(self, site: Site, draw: random.Random) -> None:
        victims = _those(site, self.role)[:1]
        _signal(victims, signal.SIGTERM)
        time.sleep(TERM_HEAD_START)
        _signal(victims, signal.SIGKILL)


@dataclass(kw_only=True)
class Restart(Fault):
    """rolling restart: web, then workers"""

    def inject(self, site: Site, draw: random.Random) -> None:
        for role in ("web", "watchdog"):
            _signal(_those(site, role)[:1], signal.SIGTERM)
            time.sleep(0.3)


@dataclass(kw_only=True)
class Freeze(Fault):
    """SIGSTOP, and SIGCONT later: of one process, or of all that have one of these roles"""

    roles: tuple[str, ...]
    name: str

    TREE: ClassVar[tuple[str, ...]] = ("tree", "sentinel", "worker", "monitor", "pusher", "evaluator")

    @property
    def kind(self) -> str:
        return f"freeze {self.name}"

    def inject(self, site: Site, draw: random.Random) -> None:
        people = site.people()
        victims = [pid for role in self.roles for pid in people.get(role, ())]
        if not victims:
            raise NotNow
        self.held = victims if len(self.roles) > 1 else [draw.choice(victims)]
        _signal(self.held, signal.SIGSTOP)

    def heal(self, site: Site) -> None:
        _signal(self.held, signal.SIGCONT)


@dataclass(kw_only=True)
class StopPostgres(Fault):
    """PostgreSQL stopped at once, and started again"""

    def inject(self, site: Site, draw: random.Random) -> None:
        _postgres(site).server.stop_at_once()

    def heal(self, site: Site) -> None:
        _postgres(site).server.start()


@dataclass(kw_only=True)
class EndSessions(Fault):
    """pg_terminate_backend of all sessions"""

    def inject(self, site: Site, draw: random.Random) -> None:
        database = _postgres(site)
        with psycopg.connect(database.direct_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> pg_backend_pid()",
                [database.name],
            )


@dataclass(kw_only=True)
class CutConnections(Fault):
    """connections to PostgreSQL cut"""

    def inject(self, site: Site, draw: random.Random) -> None:
        _postgres(site).proxy.cut()


@dataclass(kw_only=True)
class CutCommits(Fault):
    """connections cut after COMMIT: outcome unknown"""

    def inject(self, site: Site, draw: random.Random) -> None:
        _postgres(site).proxy.cut_commits(draw.randint(1, 6))

    def heal(self, site: Site) -> None:
        _postgres(site).proxy.cut_commits(0)


@dataclass(kw_only=True)
class LockTable(Fault):
    """LOCK TABLE automations_liverun"""

    def inject(self, site: Site, draw: random.Random) -> None:
        connection = psycopg.connect(_postgres(site).direct_url)
        try:
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE}'")
            connection.execute("LOCK TABLE automations_liverun IN ACCESS EXCLUSIVE MODE")
        except psycopg.Error as error:
            connection.close()
            raise NotNow from error
        self.held = [connection]

    def heal(self, site: Site) -> None:
        self.held.pop().close()


@dataclass(kw_only=True)
class HoldSqlite(Fault):
    """SQLite held by another writer"""

    def inject(self, site: Site, draw: random.Random) -> None:
        assert isinstance(site.database, Sqlite)
        connection = sqlite3.connect(site.database.file, timeout=2, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            connection.close()
            raise NotNow from error
        self.held = [connection]

    def heal(self, site: Site) -> None:
        self.held.pop().close()


@dataclass(kw_only=True)
class FullDisk(Fault):
    """no file of SQLite grows any more"""

    def inject(self, site: Site, draw: random.Random) -> None:
        assert isinstance(site.database, Sqlite)
        sizes = [file.stat().st_size for file in site.database.file.parent.glob("*.sqlite3*")]
        self._limit(site, max(sizes))

    def heal(self, site: Site) -> None:
        self._limit(site, resource.RLIM_INFINITY)

    def _limit(self, site: Site, most: int) -> None:
        """Of every process there is, since those started meanwhile inherit the limit."""
        everyone = {pid for role, pids in site.people().items() if role != "evaluator" for pid in pids}
        for pid in everyone:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@dataclass(kw_only=True)
class WrongClock(Fault):
    """more workers join, whose clock is hours off"""

    def inject(self, site: Site, draw: random.Random) -> None:
        library = clock_library()
        if library is None:
            raise NotNow
        wrong = {
            "LD_PRELOAD": library,
            "FAKETIME": f"{draw.choice((-1, 1)) * draw.randint(1, 5)}h",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        workers = subprocess.Popen(
            [sys.executable, "manage.py", "cluster"],
            env={**site.environment, **wrong},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=tied_to_parent(),
        )
        self.held = [workers]

    def heal(self, site: Site) -> None:
        workers: subprocess.Popen[bytes] = self.held.pop()
        workers.terminate()
        try:
            workers.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            workers.kill()
            workers.wait()


def clock_library() -> str | None:
    """Debian's package faketime has it; None where it is not installed."""
    return next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


def strike(fault: Fault, site: Site, draw: random.Random) -> bool:
    """Injects, holds and heals one fault, and notes when; False where it could not be injected."""
    try:
        fault.inject(site, draw)
    except NotNow:
        site.history.note("fault", "failed", kind=fault.kind)
        return False
    site.history.note("fault", "inject", kind=fault.kind)
    time.sleep(draw.uniform(*fault.seconds))
    fault.heal(site)
    site.history.note("fault", "heal", kind=fault.kind)
    return True


def shuffled(deck: Sequence[tuple[int, Fault]], draw: random.Random) -> Iterator[Fault]:
    """Every fault as often as the deck says, in a random order, again and again."""
    cards = [fault for times, fault in deck for _ in range(times)]
    while True:
        yield from draw.sample(cards, len(cards))


def _those(site: Site, role: str) -> Sequence[int]:
    found = site.people().get(role, ())
    if not found:
        raise NotNow
    return found


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _postgres(site: Site) -> Postgres:
    assert isinstance(site.database, Postgres)
    return site.database
