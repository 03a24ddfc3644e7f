"""A fresh PostgreSQL or Redis for each measurement, as durable as its makers advise, gone afterwards."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from automations.cluster.parentage import tied_to_parent
from tests import postgres

# Commits are flushed, other than in the tests: a peer on Redis flushes once a second, and says so.
DURABLE = ("listen_addresses=", "max_connections=300", "shared_buffers=1GB", "max_wal_size=4GB")
REDIS = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "everysec")


@contextmanager
def fresh(store: str) -> Iterator[str]:
    """The URL of a running, empty `postgresql` or `redis`."""
    with _postgresql() if store == "postgresql" else _redis() as url:
        yield url


@contextmanager
def _postgresql() -> Iterator[str]:
    with postgres.throw_away(DURABLE) as (url, _):
        # The folder of the socket as a parameter: the one form that all the peers' libraries read.
        yield f"postgresql://postgres@/postgres?host={unquote(urlsplit(url).netloc.partition('@')[2])}"


@contextmanager
def _redis() -> Iterator[str]:
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="cm-redis-") as folder:
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), "--dir", folder, *REDIS],
            stdout=subprocess.DEVNULL,
            preexec_fn=tied_to_parent(),
        )
        try:
            _await(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _await(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("redis-server did not start within 10 s")
