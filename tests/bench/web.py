"""The web server of `manage.py up`, with the bench's settings, and callers that put load on it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def server() -> Iterator[int]:
    """The port of a running web server."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([
        sys.executable, "-m", "gunicorn", "--config", str(ROOT / "config/gunicorn.py"), "--bind", f"127.0.0.1:{port}",
        "config.wsgi:application",
    ], stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        _await(port)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            post(http.client.HTTPConnection("127.0.0.1", port, timeout=5), "/bench/bare", {"a": 1}, {})
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the web server did not come up")


def post(
    connection: http.client.HTTPConnection, path: str, body: Any, headers: dict[str, str]
) -> tuple[int, bytes]:
    """Status and body of one POST over a kept connection."""
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read()


def load(
    call: Callable[[http.client.HTTPConnection, int], None], *, port: int, callers: int, seconds: float
) -> list[float]:
    """How long each call took, in seconds, by so many callers without pause for so long."""
    times: list[list[float]] = [[] for _ in range(callers)]
    until = time.monotonic() + seconds

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        count = 0
        while time.monotonic() < until:
            begun = time.perf_counter()
            call(connection, number * 1_000_000 + count)
            times[number].append(time.perf_counter() - begun)
            count += 1

    threads: Sequence[threading.Thread] = [threading.Thread(target=work, args=(n,)) for n in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [value for mine in times for value in mine]
