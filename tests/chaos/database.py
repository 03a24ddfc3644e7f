"""The databases that chaos runs on: a PostgreSQL that is stopped and started again on the same files, or SQLite."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self
from urllib.parse import quote
from uuid import uuid4

import psycopg

from automations.cluster.parentage import tied_to_parent
from tests import postgres
from tests.chaos.proxy import Proxy

START_SECONDS = 30.0


class Sqlite:
    """A file in the product's data folder."""

    proxy: Proxy | None = None
    server: Server | None = None

    def __init__(self, folder: Path) -> None:
        self.file = folder / "countermand.sqlite3"
        self.url = self.direct_url = f"sqlite:///{self.file}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing runs."""


class Postgres:
    """A database of its own on a server, reached by the product through a proxy and by the harness directly."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"chaos_{uuid4().hex[:12]}"
        self.direct_url = _url(server.folder, self.name)

    def __enter__(self) -> Self:
        with psycopg.connect(_url(self.server.folder, "postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self.name}"')
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cm-proxy-", dir="/tmp")))
            self.proxy = stack.enter_context(Proxy(folder, server=self.server.folder))
            self.url = _url(folder, self.name)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Server:
    """A throw-away PostgreSQL that outlives being stopped at once, with `durable` also a power cut."""

    def __init__(self, *, durable: bool = False) -> None:
        self._options = ["listen_addresses=", "max_connections=300", "shared_buffers=128MB"]
        self._options += [] if durable else ["fsync=off", "full_page_writes=off"]

    def __enter__(self) -> Self:
        """Raises NoPostgres where there cannot be one."""
        programs = postgres.programs()
        if programs is None:
            raise postgres.NoPostgres("no PostgreSQL programs on this machine")
        with ExitStack() as stack:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="cm-pg-", dir="/tmp"))
            self.folder = Path(name)
            self._user = postgres._owner(self.folder)
            self._programs = postgres._readable(programs, self.folder, self._user)
            postgres._create(self._programs, self.folder / "data", self._user)
            self.start()
            stack.callback(self.stop_at_once)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Until it takes connections. In the main thread: the server dies with the thread that starts it."""
        options = [*self._options, f"unix_socket_directories={self.folder}"]
        words = [word for option in options for word in ("-c", option)]
        entry = pwd.getpwnam(self._user) if self._user else None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", *words],
                user=entry.pw_uid if entry else None,
                group=entry.pw_gid if entry else None,
                extra_groups=[] if entry else None,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=tied_to_parent(with_signal=signal.SIGQUIT),
            )
        self._await()

    def stop_at_once(self) -> None:
        """As if it had crashed: the next start recovers from the log."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def processes(self) -> list[int]:
        """The postmaster and all that it forked."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def _await(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                psycopg.connect(_url(self.folder, "postgres")).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.02)
        raise postgres.NoPostgres((self.folder / "log").read_text(errors="replace")[-1000:])


def _url(folder: Path, database: str) -> str:
    return f"postgres://postgres@{quote(os.fspath(folder), safe='')}/{database}"
