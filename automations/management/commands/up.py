"""`manage.py up`: from an empty folder to a served address, in one command."""

from __future__ import annotations

import argparse
import errno
import fcntl
import http.client
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from automations import publication
from automations.management.preparing import answering, one_at_a_time
from automations.management.processes import Program, Supervisor
from automations.management.trial import SERVING
from automations.models import User

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (compared, not bound)
KEY_COMMAND = "python3 manage.py create_api_key quickstart"
PATIENCE = 60.0  # seconds after which we say that the web server has not answered yet


class Command(BaseCommand):
    requires_system_checks = []  # the tests run them; here they would double the start
    help = "Prepares the database, starts the web server and the workers, and prints the address."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", default=8000, type=_port, help="0: any free one (default: %(default)s)")
        parser.add_argument(
            "--check", action="store_true", help="prove on a throw-away database that a cancel holds"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            from automations.management import proof  # its HTTP client takes longer to load than all of this

            sys.exit(0 if proof.prove(say=self._say) else 1)
        with closing(_listener(options["host"], options["port"])) as listener:
            with answering(), _alone(settings.COUNTERMAND_DATA):
                self._prepare()
                code = _setup_code(settings.COUNTERMAND_DATA / "setup_code")
            connections.close_all()
            self._serve(listener, options["host"], code)

    def _prepare(self) -> None:
        """An up-to-date database, with the sample automations where it has none at all."""
        executor = MigrationExecutor(connection)
        if plan := executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self._say(f"Preparing the database ({len(plan)} migrations) ...")
            call_command("migrate", verbosity=0, interactive=False)
        if keys := publication.load_samples():
            self._say(f"Loaded sample automations: {', '.join(keys)}")

    def _serve(self, listener: socket.socket, host: str, code: str | None) -> None:
        """Until Ctrl-C or SIGTERM. CommandError when the web server never came up."""
        address = _address(host, listener)
        web, cluster = _programs(listener, address)
        supervisor = Supervisor(say=self._say)
        supervisor.add(web)
        begun, announced, warned = time.monotonic(), False, False

        def look() -> None:
            nonlocal announced, warned
            if announced:
                return
            if supervisor.ended("web"):
                raise CommandError("The web server did not start; its last words stand above.")
            if _answers(listener):
                announced = True
                supervisor.add(cluster)  # only now: side by side, the two would take longer to serve
                self._announce(address, code, is_open=host in _EVERYWHERE)
            elif not warned and time.monotonic() - begun > PATIENCE:
                warned = True
                self._say(f"The web server has not answered for {PATIENCE:.0f} s; still waiting.")

        supervisor.run(each_tick=look)
        self._say("Stopped.")

    def _announce(self, address: str, code: str | None, *, is_open: bool) -> None:
        database = "SQLite" if connection.vendor == "sqlite" else "PostgreSQL"
        self._say(f"{SERVING}{address}/  ({database}; data in {settings.COUNTERMAND_DATA})")
        if code:
            self._say(f"No user exists yet. Make the first one here:  {address}/setup/?code={code}")
        if is_open and not (os.environ.get("ALLOWED_HOSTS") or os.environ.get("SITE_URL")):
            self._say("Asked for under any other name, this server refuses: set ALLOWED_HOSTS or SITE_URL.")
        self._say("Ctrl-C stops everything.")
        self._say(f"In a second terminal, a key to invoke and cancel with:  {_found_by()}{KEY_COMMAND}")

    def _say(self, line: str) -> None:
        with suppress(BrokenPipeError):  # whoever read along is gone; that is no reason to stop serving
            self.stdout.write(line)
            self.stdout.flush()


def _port(word: str) -> int:
    if not word.isascii() or not word.isdigit() or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number from 0 to 65535")
    return int(word)


def _listener(host: str, port: int) -> socket.socket:
    """The listening socket, opened here, so that a taken port is known before anything else is done.

    It outlives a restart of the web server: requests wait instead of being refused.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(f"Port {port} of {host} is in use. Choose another with --port.") from None
        raise CommandError(f"Cannot listen on {host}, port {port}: {error.strerror or error}.") from None


def _address(host: str, listener: socket.socket) -> str:
    """Where a browser on this machine finds us, without a slash at the end."""
    reachable = _EVERYWHERE.get(host, host)
    shown = f"[{reachable}]" if ":" in reachable else reachable
    return f"http://{shown}:{listener.getsockname()[1]}"


def _found_by() -> str:
    """The variables with which another command finds the same data, before it; of a database no more than its
    variable, as its URL may hold a password."""
    folder, database = (os.environ.get(name) for name in ("COUNTERMAND_DATA", "DATABASE_URL"))
    named = [f"COUNTERMAND_DATA={shlex.quote(str(settings.COUNTERMAND_DATA))}"] if folder else []
    return "".join(f"{one} " for one in [*named, *(["DATABASE_URL=…"] if database else [])])


def _answers(listener: socket.socket) -> bool:
    """Whether the web server answers requests, which it does once its workers have loaded the application."""
    host, port = listener.getsockname()[:2]
    asked = http.client.HTTPConnection(host, port, timeout=0.5)
    with closing(asked), suppress(OSError, http.client.HTTPException):
        asked.request("GET", "/healthz", headers={"Host": "localhost"})
        return asked.getresponse().status < 500
    return False


def _programs(listener: socket.socket, address: str) -> tuple[Program, Program]:
    environment = {
        "SITE_URL": address,
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "NO_BOOTSTRAP": "1",
        "PYTHONUNBUFFERED": "1",
    }
    root = Path(settings.BASE_DIR)
    web = [sys.executable, "-m", "gunicorn", "--config", str(root / "config" / "gunicorn.py")]
    web += ["--chdir", str(root), "--bind", f"fd://{listener.fileno()}", "config.wsgi:application"]
    cluster = [sys.executable, str(root / "manage.py"), "cluster"]
    return (
        Program(name="web", command=web, environment=environment, pass_fds=[listener.fileno()]),
        Program(name="cluster", command=cluster, environment=environment),
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the data folder, readable by its owner alone, and the database against a second `up`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(PermissionError):  # somebody else's folder, lent to us: theirs to protect
        folder.chmod(0o700)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with one_at_a_time():
            yield
    finally:
        connection.close()
        os.close(descriptor)


def _setup_code(file: Path) -> str | None:
    """The one-time code of /setup/, kept across restarts; None, and no file, once a user exists."""
    if User.objects.exists():
        file.unlink(missing_ok=True)
        return None
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(12))
    return file.read_text().strip()
