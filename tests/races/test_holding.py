"""Holding, enabling and cancelling a whole automation against all else: what is promised by the answer holds."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection

from automations import execution, publication
from automations.execution import housekeeping
from automations.models import Automation, Cancellation, LiveRun, Refusal, Run, database_now
from automations.publication import Disabled, disabling
from tests.races.held import held, overlap
from tests.races.test_cut_off import MOST_STATEMENTS, broken_off
from tests.races.together import clear, rounds, together
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    finish,
    invoke,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture(autouse=True)
def _published(_django_db_helper: None) -> None:
    publish("a", {"steps": [SEND, SEND], "cancellation_token": "t"})


def invoked() -> Run:
    return run_of(invoke(definition=None, automation="a"))


def tried() -> Run | str:
    """The run, or why there is none."""
    try:
        return invoked()
    except Refusal as refused:
        return refused.code


def disable(mode: str) -> Disabled:
    return publication.disable(environment=production(), key="a", by="user/ana", mode=mode)


def hold() -> Disabled:
    return disable("hold")


def call_off() -> Cancellation:
    """Disables it and cancels its runs."""
    cancellation = disable("cancel").cancellation
    assert cancellation is not None
    return cancellation


def enable(overdue: str = "fire_now") -> Automation:
    return publication.enable(environment=production(), key="a", by="user/ana", overdue=overdue)


def named(entries: Any) -> set[str]:
    return {entry["run"] for entry in entries}


def parked() -> int:
    return LiveRun.objects.exclude(parked_due_at=None).count()


# -- start and finish against a hold ---------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["gate.passed", "start.moved", "start.committed"])
def test_a_start_that_comes_first_is_named_by_the_hold(at: str) -> None:
    run = invoked()
    tasks, done = overlap(start, hold, at=at)
    assert [task.run for task in tasks] == [str(run.uid)]
    assert named(done.in_flight) == {str(run.uid)}
    assert finish(*[execution.perform(task) for task in tasks], room=5) == []
    assert (status(run), start()) == ("waiting", [])


@pytest.mark.parametrize("at", ["gate.passed", "disable.placed", "disable.committed"])
def test_a_start_that_comes_second_starts_nothing(at: str) -> None:
    run = invoked()
    done, tasks = overlap(hold, start, at=at)
    assert (tasks, done.in_flight, status(run)) == ([], [], "waiting")


def test_a_finish_that_comes_first_starts_what_it_starts_and_the_hold_names_that() -> None:
    run = invoked()
    (task,) = start()
    result = execution.perform(task)
    tasks, done = overlap(lambda: finish(result, room=5), hold, at="finish.moved")
    assert [one.claim.position for one in tasks] == ["1"]
    assert [(entry["run"], entry["step"]) for entry in done.in_flight] == [(str(run.uid), "1")]


def test_a_finish_that_comes_second_starts_nothing_and_its_step_was_named() -> None:
    run = invoked()
    (task,) = start()
    result = execution.perform(task)
    with held(hold, at="disable.committed") as holding:
        assert finish(result, room=5) == []
    assert (named(holding.result().in_flight), status(run)) == (set(), "waiting")
    assert start() == []


def test_two_starts_put_each_run_aside_once() -> None:
    runs = [invoked() for _ in range(4)]
    due = {run.pk: run.due_at for run in runs}
    hold()
    overlap(start, start, at="park.moved")
    assert dict(LiveRun.objects.values_list("pk", "parked_due_at")) == due
    enable()
    assert dict(LiveRun.objects.values_list("pk", "due_at")) == due


# -- enabling --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["fire_now", "shift", "skip"])
def test_a_cancel_that_comes_second_to_the_enabling_cancels(rule: str) -> None:
    run = invoked()
    hold()
    start()
    _, receipt = overlap(lambda: enable(rule), lambda: cancel_runs(token="t"), at="enable.moved")
    assert (receipt.cancelled, status(run), start(), parked()) == (1, "cancelled", [], 0)


@pytest.mark.parametrize("rule", ["fire_now", "shift", "skip"])
def test_an_enabling_that_comes_second_to_a_cancel_lets_nothing_start(rule: str) -> None:
    run = invoked()
    due_at = run.due_at
    hold()
    start()
    receipt, _ = overlap(lambda: cancel_runs(token="t"), lambda: enable(rule), at="cancel.moved")
    assert (receipt.cancelled, status(run), start()) == (1, "cancelled", [])
    live = LiveRun.objects.get()
    assert (live.position, live.due_at, live.parked_due_at) == ("0", due_at, None)


@pytest.mark.parametrize("rule", ["fire_now", "skip"])
@pytest.mark.parametrize("at", ["gate.passed", "resume.read"])
def test_a_cancel_while_housekeeping_lets_runs_go(
    monkeypatch: pytest.MonkeyPatch, rule: str, at: str
) -> None:
    monkeypatch.setattr(disabling, "RESUMED_AT_ONCE", 1)
    monkeypatch.setattr(disabling, "SKIPPED_AT_ONCE", 1)
    runs = [invoked() for _ in range(3)]
    hold()
    start()
    enable(rule)
    assert parked() == 2
    left = list(LiveRun.objects.exclude(parked_due_at=None).values_list("pk", flat=True))
    _, receipt = overlap(
        lambda: publication.resume(production()), lambda: cancel_runs(run_pks=tuple(left)), at=at,
        always=rule == "skip" or at == "gate.passed",
    )  # fmt: skip
    while publication.resume(production()):
        pass
    assert (receipt.cancelled, parked()) == (2, 0)
    assert [status(run) for run in runs if run.pk in left] == ["cancelled"] * 2
    log = Run.objects.filter(pk__in=left, events__kind="step_skipped").values_list("pk", flat=True)
    moved = LiveRun.objects.filter(pk__in=left, position="1").values_list("pk", flat=True)
    assert set(log) == set(moved)
    assert len(start()) == 1


def test_a_cancel_that_was_faster_than_a_skip_keeps_its_runs_where_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(disabling, "SKIPPED_AT_ONCE", 1)
    for _ in range(3):
        invoked()
    hold()
    start()
    enable("skip")
    with held(lambda: publication.resume(production()), at="resume.read") as resuming:
        cancelling = resuming.meanwhile(lambda: cancel_runs(token="t"))
        assert not cancelling.has_ended  # the rows are locked, on SQLite the database
    assert {live.position for live in LiveRun.objects.all()} == {"1"}
    assert cancelling.result().cancelled == 3


@pytest.mark.parametrize("first", ["hold", "enable"])
def test_of_a_hold_and_an_enabling_the_later_one_stands(first: str) -> None:
    invoked()
    if first == "hold":
        overlap(hold, enable, at="disable.placed")
        assert (Automation.objects.get().mode, len(start())) == (None, 1)
    else:
        hold()
        start()
        overlap(enable, hold, at="enable.moved")
        assert (Automation.objects.get().mode, start(), parked()) == ("hold", [], 1)


def test_a_reschedule_meets_an_enabling() -> None:
    run = invoked()
    hold()
    start()
    moved, _ = overlap(
        lambda: execution.reschedule(
            environment=production(), run=run, when=database_now() + 2 * execution.lease(), actor="key/t"
        ),
        enable,
        at="reschedule.moved",
    )
    assert (read(run).due_at, read(run).is_held, start(), parked()) == (moved.due_at, False, [], 0)


# -- disabling that cancels, and publishing that does --------------------------------------------------------------


@pytest.mark.parametrize("at", ["gate.passed", "invoke.committed"])
def test_a_run_accepted_before_is_called_off_with_its_automation(at: str) -> None:
    run, receipt = overlap(invoked, call_off, at=at)
    assert (receipt.cancelled_run_ids, status(run), start()) == ([str(run.uid)], "cancelled", [])


@pytest.mark.parametrize("at", ["gate.passed", "disable.placed", "cancel.moved", "cancel.committed"])
def test_no_run_is_accepted_after(at: str) -> None:
    run = invoked()
    receipt, refused = overlap(call_off, tried, at=at)
    assert (receipt.cancelled_run_ids, refused) == ([str(run.uid)], "disabled")


@pytest.mark.parametrize("at", ["gate.passed", "start.moved"])
def test_a_start_that_comes_first_is_on_the_receipt(at: str) -> None:
    run = invoked()
    tasks, receipt = overlap(start, call_off, at=at)
    assert (len(tasks), named(receipt.in_flight)) == (1, {str(run.uid)})
    assert finish(*[execution.perform(task) for task in tasks], room=5) == []


@pytest.mark.parametrize("at", ["gate.passed", "disable.placed", "cancel.moved"])
def test_a_start_that_comes_second_starts_nothing_of_it(at: str) -> None:
    run = invoked()
    receipt, tasks = overlap(call_off, start, at=at)
    assert (receipt.in_flight, tasks, status(run)) == ([], [], "cancelled")


def republish() -> tuple[int, Cancellation | None]:
    version, cancelled = publication.publish_and_cancel(environment=production(), key="a", by="user/ana")
    return version.number, cancelled


@pytest.mark.parametrize("at", ["gate.passed", "invoke.committed"])
def test_a_run_of_an_earlier_version_is_called_off_with_the_publication(at: str) -> None:
    publication.save_draft(environment=production(), key="a", definition={"steps": [DELAY]}, by="t")
    run, (number, receipt) = overlap(invoked, republish, at=at)
    assert receipt is not None
    assert (number, receipt.cancelled_run_ids, status(run)) == (2, [str(run.uid)], "cancelled")


@pytest.mark.parametrize("at", ["gate.passed", "cancel.moved"])
def test_a_run_of_the_new_version_is_not(at: str) -> None:
    publication.save_draft(environment=production(), key="a", definition={"steps": [DELAY]}, by="t")
    before = invoked()
    (_, receipt), later = overlap(republish, invoked, at=at)
    assert receipt is not None
    assert receipt.cancelled_run_ids == [str(before.uid)]
    assert later.version is not None
    assert (later.version.number, status(later)) == (2, "waiting")


# -- all at once, and cut off --------------------------------------------------------------------------------------


@rounds(6)
def test_at_the_same_moment_every_step_was_named_or_starts_after_the_enabling() -> None:
    runs = [invoked() for _ in range(3)]
    first, done, second = together([lambda: start(2), hold, lambda: start(1)])
    started = {task.run for task in (*first, *second)}
    assert started == named(done.in_flight)
    assert finish(*[execution.perform(task) for task in (*first, *second)], room=9) == []
    assert start() == []
    _, tasks, receipt = together([enable, start, lambda: cancel_runs(run_pks=(runs[0].pk,))])
    assert (receipt.cancelled, status(runs[0])) == (1, "cancelled")
    assert {task.run for task in tasks if task.run == str(runs[0].uid)} == named(receipt.in_flight)
    finish(*[execution.perform(task) for task in tasks])
    work_off()
    housekeeping.keep_house(production())
    assert [status(run) for run in runs] == ["cancelled", "completed", "completed"]


@pytest.mark.parametrize("verb", ["hold", "cancel", "fire_now", "shift", "skip", "resume"])
def test_cut_off_at_any_statement_all_of_it_happened_or_nothing(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    for number in range(MOST_STATEMENTS):
        enable()
        runs = [invoked() for _ in range(2)]
        _before(verb, monkeypatch)
        cut = False
        with broken_off(before=number):
            try:
                _carry_out(verb)
            except OperationalError:
                cut = True
        _check_whole(verb, runs)
        clear()
        if not cut:
            assert number > 2
            return
    raise AssertionError(f"{verb} takes more than {MOST_STATEMENTS} statements")


def _before(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if verb in ("hold", "cancel"):
        return
    hold()
    start()
    if verb == "resume":
        with monkeypatch.context() as patch:
            patch.setattr(disabling, "RESUMED_AT_ONCE", 1)
            enable()


def _carry_out(verb: str) -> None:
    if verb == "resume":
        publication.resume(production())
    elif verb in ("hold", "cancel"):
        disable(verb)
    else:
        enable(verb)


def _check_whole(verb: str, runs: list[Run]) -> None:
    """Either all of them are as before, or all as after; and whichever it is, they can go on."""
    mode = Automation.objects.get().mode
    if verb == "cancel":
        expected = {None: ["waiting"] * 2, "cancel": ["cancelled"] * 2}[mode]
        assert [status(run) for run in runs] == expected
        assert Cancellation.objects.count() == (mode == "cancel")
    elif verb == "resume":
        assert parked() in (0, 1)
    else:
        assert parked() == (2 if mode == "hold" and verb != "hold" else 0)
    if mode == "hold":
        assert start() == []
    if mode == "cancel":
        return
    enable()
    while publication.resume(production()):
        pass
    if verb == "shift":
        LiveRun.objects.update(due_at=database_now())
    assert work_off() in (2, 4)
    assert connection.vendor
    assert [status(run) for run in runs] == ["completed"] * 2
