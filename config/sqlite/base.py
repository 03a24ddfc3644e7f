"""SQLite as Django drives it, but for how a statement waits for its turn."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from functools import partial
from typing import Any, ClassVar

from django.db.backends.sqlite3 import base

SHORTEST_PAUSE = 0.0005  # seconds
LONGEST_PAUSE = 0.005


class Cursor(base.SQLiteCursorWrapper):
    """One that waits for its turn outside a transaction, and with it a transaction that begins; in one it has come.

    Left to itself SQLite looks again after 1, 2, 5, 10, 15 ... 100 ms, whatever it waits for: with four callers one
    invoke in a hundred took a tenth of a second. And it keeps its connection locked meanwhile, so that a thread whose
    garbage is a statement of that connection waits for it, in the middle of the transaction that is waited for
    (docs/decisions/0025-turns-on-sqlite.md).
    """

    first: ClassVar[threading.Lock] = threading.Lock()
    """Held by the one thread that looks whether the turn has come; the process's others wait for it meanwhile."""

    def __init__(self, connection: sqlite3.Connection, *, patience: float) -> None:
        super().__init__(connection)
        self.patience = patience

    def execute(self, query: str, params: Any = None) -> Any:
        """OperationalError, as SQLite says it, when the turn has not come within `patience` seconds."""
        if self.connection.in_transaction:
            return super().execute(query, params)
        # What begins a transaction queues at once: those who wait already would else be passed by, again and again.
        if not query.startswith("BEGIN"):
            try:
                return super().execute(query, params)
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
        return self._in_turn(query, params)

    def _in_turn(self, query: str, params: Any) -> Any:
        first, until, pause = Cursor.first, time.monotonic() + self.patience, SHORTEST_PAUSE
        is_first = first.acquire(timeout=self.patience)
        try:
            while True:
                try:
                    return super().execute(query, params)
                except sqlite3.OperationalError as error:
                    if not _is_busy(error) or time.monotonic() >= until:
                        raise
                time.sleep(random.uniform(pause / 2, pause))  # noqa: S311  (jitter)
                pause = min(pause * 1.2, LONGEST_PAUSE)
        finally:
            if is_first:
                first.release()


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose statements begin within milliseconds of the writer before them, as there is one at a time."""

    patience = 0.0
    """Seconds that a statement, or a transaction, waits for its turn."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """The connection; as patient as the options say."""
        connection = super().get_new_connection(conn_params)
        self.patience = float(conn_params["timeout"])
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        """A cursor that waits for its turn."""
        return self.connection.cursor(factory=partial(Cursor, patience=self.patience))


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _renew() -> None:
    """A thread that is not in the child may have held it."""
    Cursor.first = threading.Lock()


os.register_at_fork(after_in_child=_renew)
