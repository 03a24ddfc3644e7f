"""The tool the races are made with: it holds where it says, and never hangs."""

from __future__ import annotations

import time

import pytest

from automations.models import LiveRun
from tests.races import held as tool
from tests.races.held import held, overlap
from tests.scenes import DELAY, SEND, cancel_runs, invoke, start

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def test_what_is_held_inside_its_transaction_is_seen_by_nobody_until_it_is_let_go() -> None:
    invoke(SEND)
    with held(start, at="start.moved") as worker:
        assert LiveRun.objects.get().state == "waiting"
        assert not worker.has_ended
    assert LiveRun.objects.get().state == "running"
    assert [task.claim.fence for task in worker.result()] == [1]


def test_one_that_needs_the_same_row_waits_until_the_other_is_let_go() -> None:
    invoke(SEND, token="t")
    with held(start, at="start.moved") as worker:
        cancel = worker.meanwhile(lambda: cancel_runs(token="t"))
        assert not cancel.has_ended
    assert cancel.result().cancelled == 1


def test_a_worker_goes_on_from_point_to_point() -> None:
    invoke(SEND)
    with held(start, at="gate.passed") as worker:
        worker.go_on(to="start.moved")
        worker.go_on(to="start.committed")
        assert LiveRun.objects.get().state == "running"


def test_one_that_never_passes_the_point_fails_the_test_and_says_so() -> None:
    with pytest.raises(AssertionError, match=r"it ended without passing effect\.begins"):
        overlap(start, start, at="effect.begins")


def test_what_either_raises_is_raised() -> None:
    invoke(DELAY, token="t")
    with pytest.raises(ZeroDivisionError), held(lambda: cancel_runs(token="t"), at="cancel.begins") as worker:
        worker.meanwhile(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError), held(lambda: 1 // 0, at="cancel.begins"):
        pass


def test_nobody_is_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "LIMIT_SECONDS", 0.1)
    invoke(SEND)
    with (
        pytest.raises(AssertionError, match=r"held at start\.moved for 0\.1 s"),
        held(start, at="start.moved"),
    ):
        time.sleep(0.3)
    assert LiveRun.objects.get().state == "waiting"
