"""What the watchdog does about workers that are frozen, and when it gives up."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from automations.cluster import identity, watchdog
from automations.cluster.watchdog import Watchdog
from tests.cluster.test_cluster import WHOLE_TREE, invoke, processes, tree, wait_for
from tests.live import Product, started


class Receiver(ThreadingHTTPServer):
    """Takes requests, and answers none before it closes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests = 0
        self.closing = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.requests += 1
        self.server.closing.wait(60)
        self.close_connection = True


@contextmanager
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()


def worker_of(product: Product, run: str) -> int:
    """The process that has the run's step in hand."""
    code = (
        "from automations.models import LiveRun, Worker; "
        f"print(Worker.objects.get(pk=LiveRun.objects.get(uid='{run}').worker).pid)"
    )
    return int(product.manage("shell", "--no-imports", "-c", code))


@pytest.mark.slow
def test_a_frozen_worker_is_killed_and_then_what_it_had_in_hand_has_ended() -> None:
    with started(LEASE_SECONDS="2", ALLOW_PRIVATE_NETWORKS="127.0.0.1") as product, receiver() as server:
        to = {"webhook": {"url": f"http://127.0.0.1:{server.server_port}/"}}
        message = {"content": {"body": "hi"}, "to": to}
        run = invoke(product, {"action": "send", "message": message, "timeout": "6 seconds"})
        wait_for(lambda: server.requests == 1, seconds=10)
        frozen = worker_of(product, run)
        os.kill(frozen, signal.SIGSTOP)
        # Frozen in the midst of a write it keeps SQLite's one lock until it is killed: then this takes its time.
        receipt = product.http.post(f"runs/{run}/cancel").json()
        assert [entry["run"] for entry in receipt["in_flight"]] == [run]
        wait_for(lambda: not product.http.get(f"runs/{run}").json()["settling"], seconds=30)
        assert identity.name_of(frozen) is None
        (step,) = product.http.get(f"runs/{run}").json()["steps"]
        assert (step["outcome_after_cancel"], server.requests) == ("unknown", 1)


def test_a_cluster_that_never_lasts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(watchdog, "BACK_OFF_SECONDS", (0.0,))
    try:
        dog = Watchdog()
        assert (dog.watch(), dog.failures) == (watchdog.GIVEN_UP, watchdog.MOST_FAILURES)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_hangup_stops_it_unless_it_was_told_to_ignore_that(before: signal.Handlers) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGHUP, before)
    try:
        dog = Watchdog()
        os.kill(os.getpid(), signal.SIGHUP)
        assert dog.stopping is (before is signal.SIG_DFL)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_machines_of_one_name_are_told_apart_by_their_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two virtual machines made from one image: each would take the other's workers for dead."""
    monkeypatch.setattr(socket, "gethostname", lambda: "web" * 100)
    own = identity.host()
    monkeypatch.setattr(identity, "_BOOT", tmp_path / "boot_id")
    unknown = identity.host()
    (tmp_path / "boot_id").write_text("00000000-1111-4222-8333-444444444444\n")
    other = identity.host()
    assert len({own, unknown, other}) == 3
    assert other.startswith(f"{'web' * 33}w/00000000-1111-4222-8333-444444444444/")
    assert max(map(len, (own, unknown, other))) <= 150


def test_a_process_has_a_name_of_its_own_until_it_dies() -> None:
    own = identity.name_of(os.getpid())
    assert own is not None
    assert own.startswith(f"{identity.host()}/{os.getpid()}/")
    child = os.fork()
    if child == 0:
        os._exit(0)
    wait_for(lambda: identity.name_of(child) is None, seconds=5)  # dead, though not yet waited for
    os.waitpid(child, 0)
    assert identity.name_of(child) is None


@pytest.mark.parametrize("told", [pytest.param("the watchdog", marks=pytest.mark.slow), "everybody"])
def test_a_cluster_told_to_stop_is_gone_within_fifteen_seconds(told: str) -> None:
    with started() as product:
        wait_for(lambda: len(tree(product)) == WHOLE_TREE, seconds=20)
        (dog,) = (pid for pid, line in processes(product).items() if line.endswith("cluster "))
        members = tree(product)
        for pid in [dog] if told == "the watchdog" else [*members, dog]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not any(map(identity.name_of, [dog, *members])), seconds=15)
