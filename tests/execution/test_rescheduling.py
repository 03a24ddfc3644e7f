"""Giving waiting runs another time: what moves, what stays, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automations import execution
from automations.execution import housekeeping
from automations.models import LiveRun, Refusal, Run, database_now, steps_of_run
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    invoke,
    make_due,
    production,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
STILL = ("position", "state", "attempt", "fence", "unsettled", "token", "cancellation_id")


def reschedule(run: Run, when: datetime | timedelta) -> Run:
    return execution.reschedule(environment=production(), run=run, when=when, actor="key/test")


def kept(run: Run) -> list[Any]:
    """What no reschedule may change."""
    return list(LiveRun.objects.filter(pk=run.pk).values_list(*STILL).get())


def test_a_waiting_run_is_given_another_time_and_nothing_else() -> None:
    run, other = run_of(invoke(DELAY, SEND)), run_of(invoke(DELAY, SEND))
    before, was_due_at = kept(run), run.due_at
    later = database_now() + DAY
    told = reschedule(run, later)
    assert (told.due_at, read(run).due_at, kept(run)) == (later, later, before)
    assert read(other).due_at == other.due_at
    event = told.events.last()
    assert (event.kind, event.step, event.attempt) == ("rescheduled", "1", 0)
    assert event.data == {
        "actor": "key/test", "position": "1", "was_due_at": was_due_at.isoformat(), "due_at": later.isoformat(),
    }  # fmt: skip


def test_a_duration_counts_from_now() -> None:
    run = run_of(invoke(DELAY, SEND))
    due_at = reschedule(run, timedelta(minutes=5)).due_at
    assert due_at is not None
    assert timedelta(minutes=4) < due_at - database_now() <= timedelta(minutes=5)


@pytest.mark.parametrize(
    "when", [execution.NOW, datetime(2001, 1, 1, tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]
)
def test_a_time_that_has_passed_means_now(when: datetime | timedelta) -> None:
    run = run_of(invoke(DELAY, SEND))
    before = database_now()
    told = reschedule(run, when)
    assert told.due_at is not None
    assert before <= told.due_at <= database_now()
    assert [task.claim.run_id for task in start()] == [run.pk]


def test_a_run_that_is_due_already_keeps_its_place() -> None:
    run = run_of(invoke(SEND))
    was_due_at = make_due(run)
    assert reschedule(run, execution.NOW).due_at == was_due_at
    assert [event.kind for event in run.events.all()] == ["invoked"]


def test_what_was_due_can_be_put_off() -> None:
    run = run_of(invoke(SEND))
    reschedule(run, DAY)
    assert (start(), status(run)) == ([], "waiting")


def test_at_most_366_days_ahead() -> None:
    run = run_of(invoke(DELAY, SEND))
    for when in (
        timedelta(days=366, seconds=1),
        database_now() + timedelta(days=367),
        datetime.max.replace(tzinfo=UTC),
    ):
        with pytest.raises(Refusal) as refused:
            reschedule(run, when)
        assert (refused.value.code, refused.value.problems[0].pointer) == ("too_far", "/due_at")
    assert read(run).due_at == run.due_at
    assert reschedule(run, timedelta(days=366)).due_at is not None


def running() -> Run:
    run = run_of(invoke(SEND, DELAY))
    start()
    return run


def completed() -> Run:
    run = run_of(invoke(SEND))
    work_off()
    return run


def cancelled() -> Run:
    run = run_of(invoke(DELAY))
    cancel_runs(run_pks=(run.pk,))
    return run


def settling() -> Run:
    run = running()
    cancel_runs(run_pks=(run.pk,))
    return run


def archived() -> Run:
    run = cancelled()
    archive_all()
    return run


@pytest.mark.parametrize(
    ("make", "named"),
    [(running, "running"), (completed, "completed"), (cancelled, "cancelled"), (settling, "cancelled"),
     (archived, "cancelled")],
)  # fmt: skip
def test_a_run_that_does_not_wait_is_left_alone_and_named_as_it_is(make: Any, named: str) -> None:
    run = make()
    rows, events = list(LiveRun.objects.values()), run.events.count()
    with pytest.raises(Refusal) as refused:
        reschedule(run, DAY)
    assert (refused.value.code, refused.value.message) == (
        "not_waiting", f"the run is {named}; only a run that waits can be given another time",
    )  # fmt: skip
    assert (list(LiveRun.objects.values()), run.events.count()) == (rows, events)


def test_an_unsettled_attempt_stays_unsettled_and_on_the_receipt() -> None:
    run = run_of(invoke(SEND, SEND))
    start()
    expire_leases()
    housekeeping.reap(production())
    before = kept(run)
    assert before[4] is not None
    reschedule(run, DAY)
    assert kept(run) == before
    receipt = cancel_runs(run_pks=(run.pk,))
    assert [entry["step"] for entry in receipt.in_flight] == ["0"]
    assert LiveRun.objects.get(pk=run.pk).state == "cancelling"


def test_a_pause_between_attempts_can_be_cut_short() -> None:
    run = run_of(invoke(SEND))
    LiveRun.objects.filter(pk=run.pk).update(attempt=1, due_at=database_now() + DAY)
    reschedule(run, execution.NOW)
    (task,) = start()
    assert task.claim.attempt == 2


def test_the_delay_shows_the_new_time_and_ends_at_it() -> None:
    run = run_of(invoke({"id": "nap", **DELAY}, SEND))
    later = database_now() + DAY
    delay, send = steps_of_run(reschedule(run, later))
    assert (delay.status, delay.due_at, delay.finished_at, send.status) == ("waiting", later, None, "pending")
    sooner = reschedule(run, execution.NOW).due_at
    work_off()
    delay, send = steps_of_run(read(run))
    assert (delay.status, delay.due_at, delay.finished_at) == ("completed", sooner, sooner)
    assert (send.status, status(run)) == ("completed", "completed")


def test_a_delay_that_is_over_is_not_moved_by_a_later_reschedule() -> None:
    run = run_of(invoke({**DELAY, "duration": "1 minute"}, SEND, DELAY, SEND))
    ended_at = make_due(run)
    work_off()
    first, _, second, _ = steps_of_run(reschedule(run, DAY))
    assert (first.status, second.status, second.due_at) == ("completed", "waiting", read(run).due_at)
    assert ended_at <= database_now()


def test_a_rescheduled_run_that_is_cancelled_shows_the_time_it_would_have_had() -> None:
    run = run_of(invoke(DELAY, SEND))
    later = database_now() + DAY
    reschedule(run, later)
    cancel_runs(run_pks=(run.pk,))
    archive_all()
    assert run.events.last().data["due_at"] == later.isoformat()
    assert [state.status for state in steps_of_run(read(run))] == ["cancelled", "cancelled"]


def test_it_costs_seven_statements(django_assert_max_num_queries: Any) -> None:
    run = run_of(invoke(DELAY, SEND))
    with django_assert_max_num_queries(9):  # with the two that open and close a savepoint in a test
        reschedule(run, DAY)
