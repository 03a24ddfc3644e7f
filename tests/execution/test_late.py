"""What workers tell of attempts that are not theirs any more, and what they tell twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import OperationalError

from automations import execution, testpoints
from automations.execution import Done
from automations.models import Run, steps_of_run
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    production,
    read,
    run_of,
    start,
    status,
)

pytestmark = pytest.mark.django_db


def test_a_late_answer_of_a_worker_that_lost_its_run_changes_only_the_log() -> None:
    run = run_of(invoke(SEND, DELAY))
    (stale,) = start()
    expire_leases()
    execution.keep_house(production())
    (again,) = start()
    finish(execution.perform(stale))
    assert (status(run), read(run).live.fence) == ("running", 2)
    assert read(run).live.unsettled is None
    finish(execution.perform(again))
    assert (status(run), read(run).live.position) == ("waiting", "2")
    assert list(run.events.values_list("kind", "attempt")) == [
        ("invoked", 0), ("reaped", 1), ("late_result", 1), ("step_completed", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("is_late", [False, True])
def test_an_end_that_is_written_back_again_is_logged_once(is_late: bool, is_cancelled: bool) -> None:
    """As by the pump, whose connection was cut when its COMMIT had come through."""
    run = run_of(invoke(SEND, DELAY, token="t"))
    (task,) = start()
    if is_late:
        expire_leases()
        execution.keep_house(production())
    done, kind = execution.perform(task), "late_result" if is_late else "step_completed"
    with testpoints.watched(cut_off_at("finish.committed")), pytest.raises(OperationalError):
        finish(done)
    receipt = cancel_runs(token="t") if is_cancelled else None
    finish(done)
    assert list(run.events.filter(attempt=1).exclude(kind="reaped").values_list("kind", flat=True)) == [kind]
    assert steps_of_run(read(run))[0].outcome_after_cancel is None
    assert receipt is None or receipt.in_flight == []


def test_what_ends_in_a_turn_of_which_a_part_is_written_back_is_logged_once() -> None:
    """Those whose transitions are transactions of their own are written back before the connection is cut."""
    call_off = {"action": "cancel", "cancellation_token": "nobody's"}
    runs = [run_of(invoke(SEND, call_off, DELAY)) for _ in range(2)]
    done = [execution.perform(task) for task in start()]
    with testpoints.watched(cut_off_at("finish.begins", after=1)), pytest.raises(OperationalError):
        finish(*done)
    finish(*done)
    for run in runs:
        assert list(run.events.values_list("kind", flat=True)) == ["invoked", "step_completed"]


def cut_off_at(name: str, *, after: int = 0) -> Callable[[str], None]:
    """For a test point: the connection is cut there, when it was passed so often before."""
    passed = [0]

    def cut_off(passing: str) -> None:
        if passing == name:
            passed[0] += 1
            if passed[0] > after:
                raise OperationalError("the server closed the connection unexpectedly")

    return cut_off


def two_attempts_at_one_run() -> tuple[Run, list[Done]]:
    """The answers of an attempt that was taken back and of the one that followed, by the same worker."""
    run = run_of(invoke(SEND, DELAY, SEND, token="t"))
    (first,) = start()
    expire_leases()
    execution.keep_house(production())
    (second,) = start()
    return run, [execution.perform(first), execution.perform(second)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_answers_of_one_run_in_one_batch_are_told_apart(order: tuple[int, int]) -> None:
    run, done = two_attempts_at_one_run()
    finish(*[done[index] for index in order])
    live = read(run).live
    assert (live.state, live.position, live.unsettled) == ("waiting", "2", None)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_answers_of_one_cancelled_run_settle_it(order: tuple[int, int]) -> None:
    run, done = two_attempts_at_one_run()
    receipt = cancel_runs(token="t")
    assert [entry["fence"] for entry in receipt.in_flight] == [1, 2]
    finish(*[done[index] for index in order])
    live = read(run).live
    assert (live.state, live.unsettled, live.lease_until) == ("cancelled", None, None)
    assert sorted(run.events.values_list("kind", flat=True)) == [
        "invoked", "late_result", "reaped", "step_completed",
    ]  # fmt: skip
