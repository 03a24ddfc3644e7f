"""A migrated database, of which every product and every hunt gets a copy: migrating takes as long as most hunts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """`server` is the URL of a PostgreSQL; an empty one means SQLite, with its file in the folder."""

    server: str
    folder: Path
    name: str

    @contextmanager
    def copied(self) -> Iterator[Mapping[str, str]]:
        """The variables with which pytest takes a copy for its test database, by `--reuse-db`."""
        with TemporaryDirectory(prefix="cm-mutant-") as folder:
            if not self.server:
                shutil.copy(self.folder / "countermand.sqlite3", Path(folder, "test.sqlite3"))
                yield {"COUNTERMAND_DATA": folder, "DATABASE_URL": ""}
                return
            name = f"{self.name}_{uuid4().hex[:8]}"
            with _created(self.server, f"test_{name}", template=self.name):
                yield {"COUNTERMAND_DATA": folder, "DATABASE_URL": _url(self.server, name)}

    @contextmanager
    def lent(self) -> Iterator[str]:
        """DATABASE_URL of a copy, on which a product starts without migrating."""
        if not self.server:
            with TemporaryDirectory(prefix="cm-live-") as folder:
                yield f"sqlite:///{shutil.copy(self.folder / 'countermand.sqlite3', folder)}"
            return
        name = f"{self.name}_{uuid4().hex[:8]}"
        with _created(self.server, name, template=self.name):
            yield _url(self.server, name)


@contextmanager
def migrated(server: str) -> Iterator[Ground]:
    """A ground on that server, gone after the block."""
    name = f"ground_{uuid4().hex[:8]}"
    with TemporaryDirectory(prefix="cm-ground-") as folder:
        ground = Ground(server=server, folder=Path(folder), name=name)
        if not server:
            _migrate(folder, "")
            yield ground
            return
        with _created(server, name, template="template1"):
            _migrate(folder, _url(server, name))
            yield ground


def _migrate(folder: str, url: str) -> None:
    given = {"COUNTERMAND_DATA": folder, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_BOOTSTRAP": "1", **given}, check=True)


@contextmanager
def _created(server: str, name: str, *, template: str) -> Iterator[None]:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _url(server: str, name: str) -> str:
    return f"{server.rpartition('/')[0]}/{name}"
