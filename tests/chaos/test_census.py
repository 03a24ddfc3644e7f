"""Faults strike the process they mean: its role is known, also of one that was started again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.census import census
from tests.chaos.database import Sqlite
from tests.chaos.harness import Plan, beside, environment_of, started

pytestmark = pytest.mark.pure

WHOLE = {
    "web": 1, "web worker": 2, "watchdog": 1, "tree": 1, "sentinel": 1, "worker": 2, "monitor": 1, "pusher": 1,
}  # fmt: skip


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_every_process_is_known_by_its_role(tmp_path: Path) -> None:
    database = Sqlite(tmp_path)
    environment = environment_of(Plan(seed=1, seconds=0), folder=tmp_path, url=database.url)
    beside(environment, database.url, "tests.chaos.records", "prepare")
    with started(tmp_path, environment) as product:

        def seen() -> dict[str, int]:
            return {role: len(pids) for role, pids in census(product.process.pid).items()}

        wait_for(lambda: seen() == WHOLE)
        before = census(product.process.pid)
        assert before["tree"][0] < before["sentinel"][0] < before["worker"][0]
        os.kill(before["pusher"][0], signal.SIGKILL)
        wait_for(lambda: before["pusher"] != census(product.process.pid).get("pusher", before["pusher"]))
        after = {**census(product.process.pid), "pusher": before["pusher"]}
        assert after == before
