"""Sweepers against one another, and against what happens while they look."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations import cancellation as cancelling
from automations import undo
from automations.execution import housekeeping
from automations.models import Cancellation, LiveRun
from tests.races.held import held, overlap
from tests.scenes import DELAY, SEND, cancel_runs, invoke, production, read, run_of, start

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture(autouse=True)
def _every_cancel_of_two_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    for name in ("SWEPT_AT_LEAST", "SWEPT_AT_MOST"):
        monkeypatch.setattr(housekeeping, name, 2)
    monkeypatch.setattr(housekeeping, "_swept_at_once", [2])


def sweep() -> int | None:
    return housekeeping.sweep(production())


def bar(**fields: Any) -> Cancellation:
    receipt = cancel_runs(**fields)
    assert receipt.bar is not None
    return receipt


def test_while_one_sweeps_the_oldest_bar_another_sweeper_leaves_the_younger_ones_alone() -> None:
    """Their runs may be under the oldest, too, and were shown as called off by it."""
    accepted = invoke(DELAY, token="t", key="k", recipients=[f"r{n}" for n in range(4)])
    runs = [run_of(accepted, index) for index in range(4)]
    older, younger = bar(token="t"), bar(key="k")
    first, second = overlap(sweep, sweep, at="sweep.moved")
    # SQLite has one writer: there the second one waits, and goes on with the same bar.
    assert (first, second) in ((2, None), (2, 2))
    while sweep() is not None:
        pass
    assert [read(run).called_off_by for run in runs] == [older] * 4
    younger.refresh_from_db()
    assert (younger.cancelled, younger.swept_at is None) == (0, False)


def test_a_run_that_starts_nothing_meanwhile_is_not_left_behind() -> None:
    """What a worker gives to the bar between the look ahead and the end is counted once, and nothing is forgotten."""
    invoke(SEND, token="t", recipients=[f"r{n}" for n in range(5)])
    receipt = bar(token="t")
    with held(sweep, at="sweep.moved") as worker:
        others = worker.meanwhile(start)
    assert (worker.result(), others.result()) == (2, [])
    while sweep() is not None:
        pass
    receipt.refresh_from_db()
    assert (receipt.cancelled, receipt.swept_to) == (5, receipt.as_of_run)
    assert set(LiveRun.objects.values_list("state", "cancellation")) == {("cancelled", receipt.pk)}


def test_what_an_undo_lets_fall_to_a_bar_between_the_look_and_the_end_is_swept() -> None:
    accepted = invoke(DELAY, token="t", key="k", recipients=[f"r{n}" for n in range(3)])
    runs = [run_of(accepted, index) for index in range(3)]
    older = cancel_runs(run_pks=(runs[0].pk,), undo_for=timedelta(minutes=10))
    younger = bar(token="t")
    with held(sweep, at="sweep.looked") as sweeper:
        sweeper.meanwhile(lambda: undo.undo(environment=production(), pk=older.pk, actor="user/ana")).result()
    assert read(runs[0]).called_off_by == younger
    while sweep() is not None:
        pass
    younger.refresh_from_db()
    assert [(read(run).public_status, read(run).called_off_by) for run in runs] == [
        ("cancelled", younger)
    ] * 3
    assert (younger.cancelled, younger.swept_at is None) == (3, False)


def test_what_was_left_behind_is_looked_for_again() -> None:
    """However it came about: the end of the keys is not the end of the sweep."""
    invoke(DELAY, token="t", recipients=[f"r{n}" for n in range(5)])
    receipt = bar(token="t")
    Cancellation.objects.filter(pk=receipt.pk).update(swept_to=receipt.as_of_run)
    assert sweep() == 0
    receipt.refresh_from_db()
    assert (receipt.swept_to, receipt.swept_at, receipt.cancelled) == (0, None, None)
    while sweep() is not None:
        pass
    receipt.refresh_from_db()
    assert receipt.cancelled == 5
