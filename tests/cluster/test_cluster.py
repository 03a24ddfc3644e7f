"""The real workers under their watchdog: they outlive a restart of everything and faults of django-q2."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from automations.management.trial import running
from tests.live import Product, database_url, started

SEND = {"action": "send", "message": {"content": {"body": "hi"}}}
WHOLE_TREE = 6  # parent, sentinel, two workers, monitor, pusher


@pytest.fixture(scope="module")
def own() -> Iterator[Product]:
    """A product with a short lease, whose processes may be killed: every test waits until all are there again."""
    with started(LEASE_SECONDS="2") as product:
        yield product


def invoke(product: Product, *steps: dict[str, Any]) -> str:
    answer = product.http.post("invocations", json={"definition": {"steps": list(steps)}})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["runs"][0]["id"])


def status(product: Product, run: str) -> str:
    return str(product.http.get(f"runs/{run}").json()["status"])


def wait_for(condition: Callable[[], bool], *, seconds: float) -> float:
    """How long it took to come true."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "it did not come true in time"
        time.sleep(0.05)
    return time.monotonic() - begun


def processes(product: Product) -> dict[int, str]:
    """The product's processes below `up`, with their command lines (Linux)."""
    found: dict[int, str] = {}
    parents = {product.pid}
    entries = [Path("/proc", name) for name in os.listdir("/proc") if name.isdigit()]
    while True:
        more = set()
        for entry in entries:
            pid = int(entry.name)
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if parent in parents and pid not in found:
                found[pid] = command
                more.add(pid)
        if not more:
            return found
        parents |= more


def tree(product: Product) -> list[int]:
    """The cluster's tree without its watchdog, oldest first: parent, sentinel, then workers and the rest."""
    return sorted(pid for pid, command in processes(product).items() if "cluster --tree" in command)


def test_a_run_goes_through_its_steps(own: Product) -> None:
    run = invoke(own, SEND, {"action": "delay", "duration": "1 second"}, SEND)
    wait_for(lambda: status(own, run) == "completed", seconds=10)
    steps = own.http.get(f"runs/{run}").json()["steps"]
    assert [step["status"] for step in steps] == ["completed", "completed", "completed"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["parent", "sentinel"])
def test_the_watchdog_replaces_a_tree_that_lost_its_head(own: Product, victim: str) -> None:
    wait_for(lambda: len(tree(own)) == WHOLE_TREE, seconds=20)
    before = tree(own)
    os.kill(before[0] if victim == "parent" else before[1], signal.SIGKILL)
    run = invoke(own, SEND)
    wait_for(lambda: status(own, run) == "completed", seconds=20)
    wait_for(lambda: not set(before) & set(tree(own)), seconds=10)


def test_all_that_wait_for_work_can_be_killed_at_once(own: Product) -> None:
    """django-q2's own queue would stay locked by the dead, until the watchdog starts everything anew."""
    wait_for(lambda: len(tree(own)) == WHOLE_TREE, seconds=20)
    parent, sentinel, *victims = tree(own)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    run = invoke(own, SEND)
    wait_for(lambda: status(own, run) == "completed", seconds=20)
    assert tree(own)[:2] == [parent, sentinel]
    assert not set(victims) & set(tree(own))


@pytest.mark.slow
def test_runs_survive_a_restart_of_everything() -> None:
    with database_url() as url:
        given = {"DATABASE_URL": url, "LEASE_SECONDS": "2"}
        with running(settings_given=given) as trial:
            with closing(Product(trial)) as first:
                run = invoke(first, {"action": "delay", "duration": "3 seconds"}, SEND)
                for pid in [first.pid, *processes(first)]:
                    with suppress(ProcessLookupError):  # children die with their parents
                        os.kill(pid, signal.SIGKILL)
            given |= {"COUNTERMAND_DATA": str(trial.folder)}
            with running(settings_given=given) as again, closing(Product(again)) as second:
                wait_for(lambda: status(second, run) == "completed", seconds=20)
