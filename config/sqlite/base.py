"""SQLite as Django drives it, but for how a transaction waits for its turn."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base

SHORTEST_PAUSE = 0.0005  # seconds
LONGEST_PAUSE = 0.005


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose transactions begin within milliseconds of the writer before them, as there is one at a time.

    Left to itself SQLite looks again after 1, 2, 5, 10, 15 ... 100 ms, whatever it waits for: with four callers one
    invoke in a hundred took a tenth of a second (docs/decisions/0025-turns-on-sqlite.md).
    """

    first = threading.Lock()
    """Held by the one thread that looks whether the turn has come; the process's others wait for it meanwhile."""
    patience = 0.0
    """Seconds that a statement, or a transaction, waits for its turn."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """The connection; as patient as the options say."""
        self.patience = float(conn_params["timeout"])
        return super().get_new_connection(conn_params)

    def _start_transaction_under_autocommit(self) -> None:
        """OperationalError, as SQLite says it, when the turn has not come in time."""
        first, until = DatabaseWrapper.first, time.monotonic() + self.patience
        is_first = first.acquire(timeout=self.patience)
        try:
            self._begin(until)
        finally:
            if is_first:
                first.release()

    def _begin(self, until: float) -> None:
        """Tries until that time (monotonic)."""
        self._wait_at_most(seconds=0)
        try:
            pause = SHORTEST_PAUSE
            while not self._has_begun(is_last=time.monotonic() >= until):
                time.sleep(random.uniform(pause / 2, pause))  # noqa: S311  (jitter)
                pause = min(pause * 1.2, LONGEST_PAUSE)
        finally:
            self._wait_at_most(seconds=self.patience)

    def _has_begun(self, *, is_last: bool) -> bool:
        """Tries to begin; raises what kept it from that at the last try, or what is no matter of patience."""
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # its stubs leave it out
        except OperationalError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0)
            if is_last or code & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def _wait_at_most(self, *, seconds: float) -> None:
        """Of the statements to come, each on its own."""
        with self.wrap_database_errors:
            self.connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def _renew() -> None:
    """A thread that is not in the child may have held it."""
    DatabaseWrapper.first = threading.Lock()


os.register_at_fork(after_in_child=_renew)
