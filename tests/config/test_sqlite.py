"""A statement on SQLite waits for its turn a few milliseconds at a time, and no longer than it was told."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError

from config import settings
from config.sqlite.base import Cursor, DatabaseWrapper

pytestmark = pytest.mark.pure
PATIENCE = 0.3
OPTIONS = {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL;", "timeout": PATIENCE}
Connect = Callable[[], "Connection"]


class Connection(DatabaseWrapper):
    """One that remembers what SQLite was asked to carry out, as often as it was."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            {
                "NAME": str(path), "OPTIONS": OPTIONS, "AUTOCOMMIT": True, "TIME_ZONE": None,
                "CONN_HEALTH_CHECKS": False, "CONN_MAX_AGE": None,
            }
        )  # fmt: skip
        self.statements: list[str] = []
        self.ensure_connection()
        self.connection.set_trace_callback(self.statements.append)

    def begin(self) -> None:
        self.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)

    def execute(self, sql: str, values: Any = None) -> Any:
        return self.cursor().execute(sql, values)


@pytest.fixture
def connect(tmp_path: Path, django_db_blocker: Any) -> Iterator[Connect]:
    """Makes connections to a file of the test's own."""
    made: list[Connection] = []

    def connection() -> Connection:
        made.append(Connection(tmp_path / "turns.sqlite3"))
        return made[-1]

    with django_db_blocker.unblock():
        yield connection
        for one in made:
            one.close()


def later(act: Callable[[], Any]) -> threading.Timer:
    """Does it, on a thread of its own, while the test waits."""
    timer = threading.Timer(PATIENCE / 3, act)
    timer.start()
    return timer


def test_the_server_waits_like_this() -> None:
    engine = settings.DATABASES["default"]["ENGINE"]
    assert engine in ("config.sqlite", "django.db.backends.postgresql")


def test_a_transaction_looks_again_and_again_and_begins_once_the_one_before_it_has_ended(
    connect: Connect,
) -> None:
    holder, waiter = connect(), connect()
    holder.begin()
    ended: list[bool] = []

    def end() -> None:
        ended.append(True)
        holder.connection.execute("COMMIT")

    timer = later(end)
    waiter.begin()
    assert ended == [True]
    timer.join()
    # In a tenth of a second SQLite itself looks eight times, and then after 25, 50 and 100 ms.
    assert len(waiter.statements) > 12
    assert set(waiter.statements) == {"BEGIN IMMEDIATE"}


def test_a_statement_outside_a_transaction_waits_like_one(connect: Connect) -> None:
    holder, waiter = connect(), connect()
    holder.execute("CREATE TABLE told (word TEXT)")
    holder.begin()
    holder.execute("INSERT INTO told VALUES ('first')")
    timer = later(lambda: holder.connection.execute("COMMIT"))
    waiter.execute("INSERT INTO told VALUES (%s)", ["second"])
    timer.join()
    assert len(waiter.statements) > 12
    assert waiter.execute("SELECT word FROM told ORDER BY rowid").fetchall() == [("first",), ("second",)]
    holder.connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="database is locked"):
        waiter.execute("INSERT INTO told VALUES ('never')")
    with pytest.raises(OperationalError, match="no such table"):
        waiter.execute("INSERT INTO untold VALUES ('never')")


def test_a_reader_waits_for_nobody(connect: Connect) -> None:
    holder, reader = connect(), connect()
    holder.execute("CREATE TABLE told (word TEXT)")
    holder.begin()
    with Cursor.first:
        assert reader.execute("SELECT word FROM told").fetchall() == []


def test_who_waits_keeps_nobody_from_tidying_up_after_it(connect: Connect) -> None:
    """The holder's thread may be the one whose garbage collector meets a statement of the waiter's."""
    holder, waiter = connect(), connect()
    holder.execute("CREATE TABLE told (word TEXT)")
    holder.execute("INSERT INTO told VALUES ('a'), ('b')")
    holder.begin()
    unread = [waiter.connection.execute("SELECT word FROM told")]
    waiter.patience = 10
    waiter.inc_thread_sharing()
    statement = threading.Thread(target=waiter.execute, args=["DELETE FROM told"])
    statement.start()
    while "DELETE FROM told" not in waiter.statements:
        time.sleep(PATIENCE / 100)
    unread.clear()  # which would wait for the statement, had SQLite it in hand
    holder.rollback()
    statement.join()
    assert holder.execute("SELECT count(*) FROM told").fetchone() == (0,)


def test_one_thread_looks_and_the_others_wait_for_it(connect: Connect) -> None:
    waiter = connect()
    Cursor.first.acquire()
    tried: list[int] = []

    def give_back() -> None:
        tried.append(len(waiter.statements))
        Cursor.first.release()

    timer = later(give_back)
    waiter.begin()
    timer.join()
    assert tried == [0]
    assert waiter.statements == ["BEGIN IMMEDIATE"]
    assert Cursor.first.acquire(blocking=False)
    Cursor.first.release()


def test_one_that_waits_in_vain_is_told_so(connect: Connect) -> None:
    holder, waiter = connect(), connect()
    holder.begin()
    begun = time.monotonic()
    with pytest.raises(OperationalError, match="database is locked"):
        waiter.begin()
    assert time.monotonic() - begun >= PATIENCE
    holder.rollback()
    waiter.begin()  # and may try again


def test_one_that_never_comes_to_look_tries_once_at_the_end(connect: Connect) -> None:
    waiter = connect()
    with Cursor.first:
        waiter.begin()
        assert Cursor.first.locked()  # which is not given back by who never had it
    assert waiter.statements == ["BEGIN IMMEDIATE"]


def test_what_is_no_matter_of_patience_is_told_at_once(connect: Connect) -> None:
    connection = connect()
    connection.begin()
    connection.statements.clear()
    with pytest.raises(OperationalError, match="within a transaction"):
        connection.execute("BEGIN IMMEDIATE")
    assert connection.statements == ["BEGIN IMMEDIATE"]


def test_whatever_goes_wrong_the_next_one_may_look(connect: Connect) -> None:
    connection = connect()
    with pytest.raises(OperationalError, match="syntax error"):
        connection.execute("BEGIN WHENEVER")
    assert connection.statements == []  # SQLite was asked once, and did not understand
    assert not Cursor.first.locked()
    connection.connection.close()
    with pytest.raises(ProgrammingError, match="closed"):
        connection.execute("BEGIN IMMEDIATE")
    assert not Cursor.first.locked()
    connection.connection = None  # or to close it would fail as well


def test_a_forked_child_waits_for_no_thread_of_its_parent() -> None:
    with Cursor.first:
        child = os.fork()
        if not child:
            os._exit(not Cursor.first.acquire(blocking=False))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
