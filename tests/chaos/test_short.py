"""The promise under faults, on the database under test; first a product known to be wrong, which must be caught."""

from __future__ import annotations

import os

import pytest

from tests.chaos import decks
from tests.chaos.canary import storms
from tests.chaos.database import Server
from tests.chaos.harness import Plan, commit, run
from tests.chaos.herd import stampede

PATIENCE = 10.0  # of the watchdog, in seconds; 30 in earnest


@pytest.fixture(scope="module")
def seed() -> int:
    """CHAOS_SEED, else a number from the commit, so that the same commit meets the same faults."""
    return int(os.environ.get("CHAOS_SEED") or int((commit() or "1")[:8], 16))


@pytest.mark.slow  # test_checker.py shows by made histories what is caught
def test_a_worker_that_only_looks_again_before_it_sends_is_caught(server: Server | None, seed: int) -> None:
    caught = storms("recheck", seed=seed, server=server)
    assert caught[-1] > 0, caught


def test_the_promise_holds_under_faults(server: Server | None, seed: int) -> None:
    seconds, deck, fewest = (45, decks.POSTGRES_SHORT, 40) if server else (15, decks.SQLITE_SHORT, 8)
    plan = Plan(seed=seed, seconds=seconds, deck=deck, fewest=fewest, silent=PATIENCE)
    verdict = run(plan, server=server)
    print(f"CHAOS_SEED={seed}", verdict.figures)
    assert verdict.counts == dict.fromkeys(verdict.counts, 0)
    assert sum(verdict.figures["faults"].values()) >= fewest
    assert verdict.figures["cancels acknowledged"] >= 20


@pytest.mark.slow
def test_a_herd_of_overdue_runs_is_started_once_each(server: Server | None) -> None:
    figures = stampede(1_000, server=server)
    assert figures["must be 0"] == dict.fromkeys(figures["must be 0"], 0)
    assert figures["overdue runs"] == 1_000
    assert figures["new runs"] > 0
