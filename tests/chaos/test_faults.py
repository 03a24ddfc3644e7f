"""The faults that are made here do what their names say: a lost answer to a COMMIT, an SQLite that is held."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

import psycopg
import pytest

from automations import testpoints
from tests.chaos.apps import PAUSES
from tests.chaos.database import Postgres, Server, Sqlite
from tests.chaos.faults import Fault, HoldSqlite, Kill, NotNow, Site, shuffled, strike
from tests.chaos.history import History


@pytest.mark.pure
def test_every_test_point_has_its_pause() -> None:
    assert PAUSES.keys() == set(testpoints.NAMES)


def test_a_commit_that_is_cut_off_reached_the_server(server: Server | None) -> None:
    if server is None:  # SQLite has no connection to cut
        return
    with Postgres(server) as database:
        with psycopg.connect(database.direct_url, autocommit=True) as direct:
            direct.execute("CREATE TABLE kept (number int)")
            through = psycopg.connect(database.url)
            through.execute("INSERT INTO kept VALUES (1)")
            database.proxy.cut_commits(1)
            with pytest.raises(psycopg.OperationalError):
                through.commit()
            until = time.monotonic() + 5  # the server carries it out after nobody waits for it
            while not (kept := direct.execute("SELECT number FROM kept").fetchall()):
                assert time.monotonic() < until
            assert kept == [(1,)]
        with psycopg.connect(database.url) as again:
            again.execute("INSERT INTO kept VALUES (2)")
            database.proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                again.execute("SELECT 1")


@pytest.mark.pure
def test_sqlite_is_held_against_other_writers(tmp_path: Path) -> None:
    database, history = Sqlite(tmp_path), History(tmp_path)
    site = Site(product=0, environment={}, database=database, history=history)
    held = HoldSqlite()
    held.inject(site, random.Random(1))
    with sqlite3.connect(database.file, timeout=0.05) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("CREATE TABLE kept (number int)")
        held.heal(site)
        other.execute("CREATE TABLE kept (number int)")
    other.close()
    history.close()


@pytest.mark.pure
def test_a_fault_without_a_victim_is_noted_as_not_injected(tmp_path: Path) -> None:
    history = History(tmp_path)
    site = Site(product=-1, environment={}, database=Sqlite(tmp_path), history=history)  # no process
    with pytest.raises(NotNow):
        Kill(role="worker").inject(site, random.Random(1))
    strike(Kill(role="worker"), site, random.Random(1))
    history.close()
    assert [(entry["phase"], entry["kind"]) for entry in history.entries] == [("failed", "kill -9 worker")]


@pytest.mark.pure
def test_a_seed_makes_a_schedule() -> None:
    deck: list[tuple[int, Fault]] = [(3, Kill(role="worker")), (1, Kill(role="pusher")), (2, HoldSqlite())]

    def schedule(seed: int) -> list[str]:
        faults = shuffled(deck, random.Random(seed))
        return [next(faults).kind for _ in range(12)]

    assert schedule(1) == schedule(1) != schedule(2)
    assert sorted(schedule(1)[:6]) == sorted(schedule(1)[6:])
    assert schedule(1)[:6].count("kill -9 worker") == 3
