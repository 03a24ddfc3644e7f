"""A reschedule against a start, a cancel, a finish: exactly one wins, and both answers tell the truth."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from automations import cancellation, execution
from automations.models import Cancellation, Event, LiveRun, Refusal, Run, database_now
from tests.races.held import overlap
from tests.races.together import clear, rounds, together
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    finish,
    invoke,
    make_due,
    production,
    read,
    run_of,
    start,
    status,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
DAY = timedelta(days=1)


def reschedule(run: Run, when: datetime | timedelta = DAY) -> str:
    """The status and due time answered, or the refusal's words."""
    try:
        told = execution.reschedule(environment=production(), run=run, when=when, actor="key/test")
    except Refusal as refused:
        return refused.message.partition(";")[0]
    assert told.due_at is not None
    return f"{told.public_status} until {'later' if told.due_at > database_now() else 'now'}"


def moves() -> int:
    return Event.objects.filter(kind="rescheduled").count()


def due_run() -> Run:
    run = run_of(invoke(SEND))
    make_due(run)
    return run


def test_a_start_that_comes_second_passes_the_run_by() -> None:
    run = due_run()
    told, tasks = overlap(lambda: reschedule(run), start, at="reschedule.moved")
    assert (told, moves()) == ("waiting until later", 1)
    # SQLite has one writer: there the start waits, and then the run is not due.
    assert (tasks, status(run), start()) == ([], "waiting", [])


def test_a_reschedule_that_comes_second_to_a_start_says_running() -> None:
    run = due_run()
    tasks, told = overlap(start, lambda: reschedule(run), at="start.moved")
    assert ([task.claim.run_id for task in tasks], told, moves()) == ([run.pk], "the run is running", 0)
    assert LiveRun.objects.get(pk=run.pk).due_at <= database_now()


def test_a_cancel_that_comes_second_cancels_the_rescheduled_run() -> None:
    run = run_of(invoke(DELAY, SEND))
    told, receipt = overlap(
        lambda: reschedule(run, execution.NOW), lambda: cancel_runs(run_pks=(run.pk,)), at="reschedule.moved"
    )
    assert (told, moves(), receipt.cancelled) == ("waiting until now", 1, 1)
    assert (status(run), start()) == ("cancelled", [])


def test_a_reschedule_that_comes_second_to_a_cancel_says_cancelled() -> None:
    run = run_of(invoke(DELAY, SEND))
    receipt, told = overlap(
        lambda: cancel_runs(run_pks=(run.pk,)), lambda: reschedule(run, execution.NOW), at="cancel.moved"
    )
    assert (receipt.cancelled, told, moves()) == (1, "the run is cancelled", 0)
    assert (status(run), start()) == ("cancelled", [])


def test_a_reschedule_during_the_finish_that_ends_the_run_says_completed() -> None:
    run = due_run()
    (done,) = [execution.perform(task) for task in start()]
    _, told = overlap(lambda: finish(done), lambda: reschedule(run), at="finish.moved")
    assert (told, status(run), moves()) == ("the run is completed", "completed", 0)


def test_of_two_reschedules_the_second_builds_on_the_first() -> None:
    run = run_of(invoke(DELAY, SEND))
    was_due_at = run.due_at
    overlap(lambda: reschedule(run), lambda: reschedule(run, 2 * DAY), at="reschedule.moved")
    first, second = Event.objects.filter(kind="rescheduled").order_by("pk")
    assert was_due_at is not None
    assert first.data["was_due_at"] == was_due_at.isoformat()
    assert second.data["was_due_at"] == first.data["due_at"]
    assert read(run).live.due_at.isoformat() == second.data["due_at"]


def bar(run: Run) -> Cancellation:
    """A cancellation of so many runs that it calls them off by its row alone."""
    assert run.token is not None
    return cancel_runs(token=run.token)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Run:
    """One of two runs, which are too many to be moved before the answer."""
    monkeypatch.setattr(cancellation, "AT_ONCE", 1)
    first, _ = (run_of(invoke(DELAY, SEND, token="t")) for _ in range(2))
    return first


def test_a_run_under_a_bar_that_is_not_swept_says_cancelled(two: Run) -> None:
    bar(two)
    assert LiveRun.objects.get(pk=two.pk).state == "waiting"
    assert (reschedule(two, execution.NOW), moves(), start()) == ("the run is cancelled", 0, [])


def test_a_bar_that_comes_second_stands_over_the_rescheduled_run(two: Run) -> None:
    told, _ = overlap(lambda: reschedule(two, execution.NOW), lambda: bar(two), at="reschedule.moved")
    assert (told, moves(), status(two), start()) == ("waiting until now", 1, "cancelled", [])


def test_a_reschedule_that_comes_second_to_a_bar_says_cancelled(two: Run) -> None:
    _, told = overlap(lambda: bar(two), lambda: reschedule(two, execution.NOW), at="bar.placed")
    assert (told, moves(), status(two), start()) == ("the run is cancelled", 0, "cancelled", [])


@rounds(6)
def test_all_at_the_same_moment() -> None:
    run = due_run()
    tasks, told, receipt = together([start, lambda: reschedule(run), lambda: cancel_runs(run_pks=(run.pk,))])
    assert receipt.cancelled == 1
    assert status(run) == "cancelled"
    assert len(receipt.in_flight) == len(tasks)
    assert not (tasks and moves())
    assert told in ("waiting until later", "the run is running", "the run is cancelled")
    assert (told == "waiting until later") == (moves() == 1)
    finish(*[execution.perform(task) for task in tasks])
    make_due(run)
    assert start() == []
    clear()
