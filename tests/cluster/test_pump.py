"""One shift of the pump, with its real threads, on the database under test."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from automations import execution, testpoints
from automations.cluster import pump
from automations.cluster.crew import Crew
from automations.models import Environment, LiveRun, Run, Worker, database_now
from tests.captured import Captured
from tests.scenes import DELAY, SEND, cancel_runs, expire_leases, invoke, production, run_of, status

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def test_a_shift_carries_every_due_run_to_its_end_and_leaves_the_others() -> None:
    ended = [run_of(invoke(SEND, SEND, data={"user_id": str(n)})) for n in range(70)]
    waiting = run_of(invoke(SEND, DELAY, SEND))
    pump.run_pump()
    assert {status(run) for run in ended} == {"completed"}
    assert (status(waiting), LiveRun.objects.get().position) == ("waiting", "2")
    assert Worker.objects.count() == 1


def test_a_shift_waits_for_a_step_that_is_nearly_due_and_starts_it_on_time() -> None:
    run = run_of(invoke({"action": "delay", "duration": "0.15 seconds"}, SEND))
    due_at = run.live.due_at
    pump.run_pump()
    event = run.events.get(kind="step_completed")
    started_at = event.data["started_at"]
    assert status(run) == "completed"
    assert due_at.isoformat() <= started_at < (due_at + timedelta(seconds=1)).isoformat()


def test_a_shift_looks_again_where_what_falls_due_cannot_be_started_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = run_of(invoke({"action": "delay", "duration": "0.15 seconds"}, SEND))
    turns = []

    def noted(**given: Any) -> Any:
        turns.append(given)
        return [] if len(turns) == 1 else turn(**given)

    turn = execution.turn
    monkeypatch.setattr(execution, "turn", noted)
    pump.run_pump()
    assert status(run) == "completed"


def test_a_shift_archives_what_was_cancelled() -> None:
    run = run_of(invoke(DELAY, token="t"))
    cancel_runs(token="t")
    pump.run_pump()
    assert Run.objects.get(pk=run.pk).status == "cancelled"


def test_a_shift_of_both_environments_starts_in_both() -> None:
    test = Environment.objects.get(key="test")
    runs = [run_of(invoke(SEND)), run_of(invoke(SEND, environment=test))]
    pump.run_pump()
    assert [status(run) for run in runs] == ["completed", "completed"]


def test_an_environment_in_which_nothing_is_due_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run_of(invoke(SEND, SEND)) for _ in range(3)]
    asked = []

    def noted(*, environment: Environment, **given: Any) -> Any:
        asked.append(environment.key)
        return turn(environment=environment, **given)

    turn = execution.turn
    monkeypatch.setattr(execution, "turn", noted)
    pump.run_pump()
    assert [status(run) for run in runs] == ["completed"] * 3
    assert set(asked) == {"production"}


def test_what_falls_due_while_another_environment_keeps_the_pump_busy_is_started_meanwhile() -> None:
    """The pump always has something done to write back: each step takes less time than it would wait for one."""
    test = Environment.objects.get(key="test")
    busy = run_of(invoke(*[SEND] * 40))
    other = run_of(invoke(SEND, {"action": "delay", "duration": "0.1 seconds"}, SEND, environment=test))
    with testpoints.watched(lambda name: time.sleep(0.01) if name == "effect.begins" else None):
        pump.run_pump()
    started_at = other.events.filter(kind="step_completed").latest("pk").data["started_at"]
    assert (status(busy), status(other)) == ("completed", "completed")
    assert started_at < busy.events.filter(kind="step_completed").latest("pk").data["started_at"]


def test_no_environment_fills_every_slot_while_another_waits() -> None:
    both = [production(), Environment.objects.get(key="test")]
    runs = [run_of(invoke(SEND, environment=each)) for each in both * 5]
    release, counts = threading.Event(), []

    def last(name: str) -> None:
        if name == "effect.begins":
            release.wait(10)

    pump._enlist.cache_clear()
    shift = pump._Shift()
    shift.crew = Crew(0)
    with testpoints.watched(last):
        for slots in (4, 5, 6):
            shift.crew.size = slots
            shift._look()
            shift._turn({})
            counts.append([len(shift.in_flight[each.pk]) for each in both])
        release.set()
        while shift.busy:
            shift._turn(shift._collect(5.0))
    assert counts == [[2, 2], [2, 3], [3, 3]]  # who chooses first changes
    assert {status(run) for run in runs} == {"completed"}


def test_a_shift_with_nothing_to_do_ends_soon() -> None:
    begun = time.monotonic()
    pump.run_pump()
    assert time.monotonic() - begun < 2


@contextmanager
def told_to_stop() -> Iterator[None]:
    pump.stopping.set()
    try:
        yield
    finally:
        pump.stopping.clear()


def test_told_to_stop_a_shift_starts_nothing_more() -> None:
    run = run_of(invoke(SEND))
    with told_to_stop():
        pump.run_pump()
    assert status(run) == "waiting"


def test_a_step_stuck_past_its_lease_keeps_its_slot_and_ends_the_shift_all_the_same() -> None:
    run = run_of(invoke(SEND, DELAY, SEND))
    release, stuck = threading.Event(), threading.Event()

    def hold_the_first(name: str) -> None:
        if name == "effect.begins" and not stuck.is_set():
            stuck.set()
            release.wait(10)

    with testpoints.watched(hold_the_first):
        shift = pump._Shift()
        room = shift.crew.room
        shift._look()
        shift._turn({})
        assert stuck.wait(5)
        expire_leases()
        execution.keep_house(production())  # as another worker does
        shift._look()
        shift._turn({})
        shift._turn(shift._collect(1.0))
        assert (shift.busy, shift.crew.room) == (True, room - 1)
        release.set()
        shift._turn(shift._collect(1.0))
    assert (shift.busy, shift.crew.room) == (False, room)
    assert (status(run), LiveRun.objects.get().unsettled) == ("waiting", None)


@contextmanager
def a_long_step(*, slots: int) -> Iterator[pump._Shift]:
    """A shift that has room for so many steps, of which one has lasted an hour when the block begins."""
    release, begun = threading.Event(), threading.Event()

    def hold_the_first(name: str) -> None:
        if name == "effect.begins" and not begun.is_set():
            begun.set()
            release.wait(30)

    pump._enlist.cache_clear()  # a worker of the test before
    with testpoints.watched(hold_the_first):
        long = run_of(invoke({**SEND, "timeout": "1 hour"}))
        shift = pump._Shift()
        shift.crew = Crew(slots)
        shift._look()
        shift._turn({})
        assert begun.wait(5)
        shift.started_at -= 3600
        shift.last_work = shift.started_at
        try:
            yield shift
        finally:
            release.set()
        shift._turn(shift._collect(5.0))
    assert status(long) == "completed"


def test_while_a_long_step_lasts_what_falls_due_is_started() -> None:
    with a_long_step(slots=2) as shift:
        fresh = Environment.objects.create(key="fresh")
        runs = [run_of(invoke(SEND)), run_of(invoke(SEND, environment=fresh))]
        for _ in runs:
            assert not shift._is_over()
            shift._look()
            shift._turn({})
            shift._turn(shift._collect(5.0))
        assert [status(run) for run in runs] == ["completed", "completed"]


@pytest.mark.parametrize(("slots", "wedged"), [(1, False), (2, True)])
def test_workers_that_are_full_of_long_steps_are_not_taken_for_wedged(slots: int, wedged: bool) -> None:
    with a_long_step(slots=slots) as shift:
        overdue = run_of(invoke(SEND))
        LiveRun.objects.filter(pk=overdue.pk).update(due_at=database_now() - timedelta(minutes=1))
        shift._beat()
        assert execution.roster.is_idle_over_work() is wedged


def test_told_to_stop_a_shift_waits_for_steps_however_long_they_have_lasted() -> None:
    with a_long_step(slots=2) as shift, told_to_stop():
        assert not shift._is_over()
        assert shift.told_at is not None
        shift.told_at -= pump.DRAIN_SECONDS
        assert shift._is_over()


def test_told_to_stop_a_worker_that_is_full_does_not_take_itself_for_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, number: killed.append(number))
    with a_long_step(slots=1) as shift:
        monkeypatch.setattr(Crew, "of_this_process", lambda size: shift.crew)
        with told_to_stop():
            pump.run_pump()  # a hint that was handed out before
        assert killed == []
        pump.run_pump()
    assert killed == [signal.SIGKILL]


def test_a_worker_that_hangs_in_one_round_is_ended_by_the_kernel() -> None:
    left: list[float] = []
    invoke(SEND)
    with testpoints.watched(lambda name: left.append(signal.getitimer(signal.ITIMER_REAL)[0])):
        pump.run_pump()
    assert 0 < min(left) <= max(left) <= pump.HUNG_SECONDS
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_cancelled_run_that_settles_for_an_hour_does_not_keep_the_workers_busy() -> None:
    invoke({**SEND, "timeout": "1 hour"}, token="t")
    execution.turn(environment=production(), done=[], room=1)
    expire_leases()
    execution.keep_house(production())
    cancel_runs(token="t")
    with Captured() as captured:
        pump.run_pump()
    assert len(captured) < 50


def test_what_is_done_outlives_a_short_absence_of_the_database() -> None:
    run = run_of(invoke(SEND))
    failures = iter([OperationalError("the server closed the connection unexpectedly")] * 2)

    def fail(name: str) -> None:
        if name == "finish.moved" and (error := next(failures, None)):
            raise error

    with testpoints.watched(fail):
        pump.run_pump()
    assert status(run) == "completed"
    assert list(run.events.values_list("kind", flat=True)) == ["invoked", "step_completed"]


def test_an_allowance_is_so_many_a_second_and_saved_up_for_one() -> None:
    allowance = pump.Allowance(100)
    assert allowance.left() == 0
    allowance.at -= 0.5
    assert 50 <= allowance.left() < 60
    allowance.take(45)
    assert 5 <= allowance.left() < 15
    allowance.at -= 60
    assert allowance.left() == 100


def test_a_herd_is_started_at_a_bounded_rate_and_what_is_newly_due_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    invoke(SEND, recipients=[f"r{n}" for n in range(400)])
    LiveRun.objects.update(due_at=database_now() - timedelta(hours=1))
    fresh = run_of(invoke(SEND))
    monkeypatch.setattr(pump, "SHIFT_SECONDS", 1.0)
    since = time.monotonic()
    monkeypatch.setattr(pump, "_LATE", pump.Allowance(40))
    pump.run_pump()
    most = 40 * (time.monotonic() - since)
    assert status(fresh) == "completed"
    assert 20 <= 400 - LiveRun.objects.count() <= most


def test_a_crew_is_no_larger_than_its_work_needs() -> None:
    before = threading.active_count()
    invoke(SEND, recipients=[f"r{n}" for n in range(5)])
    now = database_now()
    pump.run_pump()
    assert LiveRun.objects.filter(due_at__lte=now).count() == 0
    assert threading.active_count() - before <= 64
    assert Crew.of_this_process(64) is Crew.of_this_process(64)
