"""An automation that is held: its runs start nothing, are shown as what they are, and go on by the rule asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations import execution, publication
from automations.execution import housekeeping
from automations.models import (
    Automation,
    Event,
    LiveRun,
    Refusal,
    Run,
    database_now,
    steps_of_run,
    what_is_due,
)
from automations.models import live_run_parking as parking
from automations.publication import disabling
from tests.captured import Captured
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    make_due,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def of(key: str, *steps: dict[str, Any], amount: int = 1, **given: Any) -> list[Run]:
    """Runs of a published automation of these steps."""
    if not Automation.objects.filter(key=key).exists():
        publish(key, {"steps": list(steps), "cancellation_token": "t"})
    return [run_of(invoke(definition=None, automation=key, **given)) for _ in range(amount)]


def hold(key: str = "a", **given: Any) -> publication.Disabled:
    return publication.disable(environment=production(), key=key, by="user/ana", mode="hold", **given)


def enable(overdue: str = "fire_now", key: str = "a") -> Automation:
    return publication.enable(environment=production(), key=key, by="user/ana", overdue=overdue)


def since(*, key: str = "a", ago: timedelta = HOUR) -> None:
    """As if the automation had been held for so long."""
    Automation.objects.filter(key=key).update(held_at=database_now() - ago)


def live(run: Run) -> LiveRun:
    return LiveRun.objects.get(pk=run.pk)


def kinds(run: Run) -> list[str]:
    return list(Event.objects.filter(run=run).values_list("kind", flat=True))


def test_nothing_of_a_held_automation_starts_and_all_else_does() -> None:
    held, other, ad_hoc = of("a", SEND, amount=3), of("b", SEND), run_of(invoke(SEND))
    hold()
    assert {task.claim.run_id for task in start()} == {other[0].pk, ad_hoc.pk}
    assert start() == []
    assert [status(run) for run in held] == ["waiting"] * 3
    enable()
    assert [task.claim.run_id for task in start()] == [run.pk for run in held]


def test_a_due_run_is_put_aside_once_and_shows_its_own_time() -> None:
    (run,) = of("a", SEND)
    due_at = make_due(run)
    hold()
    assert (read(run).is_held, read(run).due_at) == (True, due_at)
    assert start() == []
    assert (live(run).due_at, live(run).parked_due_at) == (parking.ASIDE, due_at)
    assert (read(run).is_held, read(run).due_at, status(run)) == (True, due_at, "waiting")
    seconds = what_is_due().seconds
    assert seconds is not None
    assert seconds > 1e9


def test_a_run_that_is_not_due_is_left_where_it_is() -> None:
    (run,) = of("a", DELAY, SEND)
    due_at = run.due_at
    hold()
    assert (start(), live(run).parked_due_at, read(run).due_at) == ([], None, due_at)
    assert read(run).is_held
    enable("shift")
    assert (live(run).due_at, read(run).is_held) == (due_at, False)


def test_others_start_although_more_are_held_than_are_put_aside_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parking, "PARKED_AT_ONCE", 2)
    of("a", SEND, amount=5)
    (other,) = of("b", SEND)
    hold()
    assert [task.claim.run_id for task in start(room=1)] == [other.pk]
    assert LiveRun.objects.exclude(parked_due_at=None).count() == 2
    start()
    start()
    assert LiveRun.objects.exclude(parked_due_at=None).count() == 5


def test_long_overdue_runs_are_put_aside_as_well() -> None:
    (run,) = of("a", SEND)
    LiveRun.objects.filter(pk=run.pk).update(due_at=database_now() - HOUR)
    hold()
    assert execution.turn(environment=production(), done=[], room=9, late=3) == []
    assert live(run).parked_due_at is not None


def test_a_step_in_flight_is_named_and_ends_and_the_run_then_waits() -> None:
    (run,) = of("a", SEND, SEND)
    (task,) = start()
    done = hold()
    assert [(entry["run"], entry["attempt"]) for entry in done.in_flight] == [(str(run.uid), 1)]
    assert finish(execution.perform(task), room=9) == []
    assert (status(run), live(run).position, kinds(run)) == ("waiting", "1", ["invoked", "step_completed"])
    assert read(run).is_held
    enable()
    assert work_off() == 1
    assert (status(run), kinds(run)) == ("completed", ["invoked", "step_completed", "step_completed"])


def test_a_lost_step_is_named_and_not_tried_again_while_it_is_held() -> None:
    (run,) = of("a", SEND)
    start()
    expire_leases()
    housekeeping.reap(production())
    assert [entry["run"] for entry in hold().in_flight] == [str(run.uid)]
    assert start() == []
    enable()
    assert [task.claim.attempt for task in start()] == [2]


def test_what_a_cancel_step_would_call_off_lives_as_long_as_its_run_is_held() -> None:
    victim = run_of(invoke(DELAY, token="victim"))
    cancels = {"action": "cancel", "cancellation_token": "victim"}
    (run,) = of("a", SEND, cancels, SEND)
    (other,) = of("b", SEND, cancels, SEND)
    tasks = start()
    hold()
    by_run = {task.claim.run_id: execution.perform(task) for task in tasks}
    finish(by_run[run.pk])
    assert (status(victim), live(run).position, status(run)) == ("waiting", "1", "waiting")
    assert Event.objects.get(run=run, kind="step_completed").data["position"] == "1"
    finish(by_run[other.pk])
    assert (status(victim), live(other).position) == ("cancelled", "2")
    enable()
    assert work_off() == 3  # the cancel step, and the last send of each
    assert (status(run), status(other)) == ("completed", "completed")


def test_a_run_at_its_end_ends_although_it_is_held() -> None:
    (run,) = of("a", SEND)
    (task,) = start()
    hold()
    finish(execution.perform(task))
    assert status(run) == "completed"


def test_a_held_run_is_cancelled_as_ever_and_remembers_when_it_was_due() -> None:
    runs = of("a", SEND, amount=2)
    due_at = make_due(*runs)
    hold()
    start()
    receipt = cancel_runs(token="t")
    assert (receipt.cancelled, [status(run) for run in runs]) == (2, ["cancelled"] * 2)
    archive_all()
    event = Event.objects.get(run=runs[0], kind="cancelled")
    assert event.data["due_at"] == due_at.isoformat()


def test_due_filters_ask_for_the_time_it_was_due_in_truth() -> None:
    early, late = of("a", SEND, amount=2)
    now = database_now()
    LiveRun.objects.filter(pk=early.pk).update(due_at=now - 2 * HOUR)
    hold()
    start()
    assert LiveRun.objects.exclude(parked_due_at=None).count() == 2
    assert cancel_runs(due_after=now + HOUR).cancelled == 0
    assert cancel_runs(due_before=now - HOUR, due_after=now - 3 * HOUR).cancelled_run_ids == [str(early.uid)]
    assert cancel_runs(due_after=now - HOUR, due_before=now + HOUR).cancelled_run_ids == [str(late.uid)]


# -- enabling ----------------------------------------------------------------------------------------------


def overdue(*runs: Run) -> None:
    """As if they had been due for half an hour, and held for an hour."""
    LiveRun.objects.filter(pk__in=[run.pk for run in runs]).update(due_at=database_now() - HOUR / 2)
    since()
    assert start() == []
    assert LiveRun.objects.exclude(parked_due_at=None).count() == len(runs)


def test_fire_now_starts_them_at_once_oldest_first() -> None:
    younger, older = of("a", SEND, amount=2)
    hold()
    LiveRun.objects.filter(pk=older.pk).update(due_at=database_now() - HOUR)
    start()
    assert enable().resuming is None
    assert [task.claim.run_id for task in start()] == [older.pk, younger.pk]
    assert LiveRun.objects.exclude(parked_due_at=None).count() == 0


def test_shift_adds_the_time_that_it_was_held() -> None:
    (run,) = of("a", SEND)
    hold()
    overdue(run)
    due_at = read(run).due_at
    enable("shift")
    moved = read(run).due_at
    assert due_at is not None
    assert moved is not None
    assert HOUR <= moved - due_at < HOUR + timedelta(seconds=30)
    assert (start(), read(run).is_held) == ([], False)


def test_skip_goes_on_without_the_step_that_was_due() -> None:
    short, long = [*of("a", SEND), *of("a2", SEND, SEND)]
    publication.disable(environment=production(), key="a2", by="t", mode="hold")
    hold()
    overdue(short, long)
    enable("skip")
    enable("skip", key="a2")
    assert [live(run).position for run in (short, long)] == ["1", "1"]
    assert work_off() == 2
    assert [status(run) for run in (short, long)] == ["completed", "completed"]
    states = [(state.status, state.skip_reason, state.attempts) for state in steps_of_run(read(long))]
    assert states == [("skipped", "held", 0), ("completed", None, 1)]
    assert kinds(short) == ["invoked", "step_skipped"]


def test_skip_is_for_times_that_have_passed_alone() -> None:
    run, later = of("a", DELAY, SEND, amount=2)
    hold()
    overdue(run)
    enable("skip")
    assert (live(run).position, live(later).position) == ("2", "1")
    assert read(later).due_at == later.due_at


def test_skip_leaves_out_what_was_to_be_tried_again() -> None:
    (run,) = of("a", SEND, SEND)
    start()
    expire_leases()
    housekeeping.reap(production())
    hold()
    overdue(run)
    enable("skip")
    assert (live(run).position, live(run).attempt, len(live(run).unsettled or [])) == ("1", 0, 1)


def test_skip_lets_runs_behind_their_last_step_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disabling, "SKIPPED_AT_ONCE", 2)
    monkeypatch.setattr(disabling, "RESUMED_BEHIND", 2)
    runs = of("a", SEND, DELAY, amount=5)
    work_off()
    hold()
    overdue(*runs)
    assert LiveRun.objects.filter(position="2", parked_due_at__isnull=False).count() == 5
    enable("skip")
    for _ in range(10):
        if not execution.keep_house(production()):
            break
    assert Automation.objects.get(key="a").resuming is None
    assert work_off() == 5
    assert [(status(run), kinds(run)) for run in runs] == [("completed", ["invoked", "step_completed"])] * 5


def test_more_than_are_let_go_at_once_are_let_go_by_housekeeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disabling, "RESUMED_AT_ONCE", 2)
    monkeypatch.setattr(disabling, "SKIPPED_AT_ONCE", 2)
    monkeypatch.setattr(disabling, "RESUMED_BEHIND", 2)
    for rule in ("fire_now", "shift", "skip"):
        runs = of("a", SEND, SEND, amount=5)
        hold()
        overdue(*runs)
        assert enable(rule).resuming is not None
        assert LiveRun.objects.exclude(parked_due_at=None).count() == 3
        assert sum(read(run).is_held for run in runs) == 3
        here = frozenset({production().pk})
        assert (what_is_due().unsettled, what_is_due(also_owed=True).unsettled) == (frozenset(), here)
        while execution.keep_house(production()):
            pass
        assert LiveRun.objects.exclude(parked_due_at=None).count() == 0
        assert Automation.objects.get(key="a").resuming is None
        assert not what_is_due(also_owed=True).unsettled
        assert {live(run).position for run in runs} == {"1" if rule == "skip" else "0"}
        assert len(start()) == (0 if rule == "shift" else 5)
        LiveRun.objects.all().delete()


def test_a_cancelled_run_gets_its_own_time_back_when_it_is_let_go() -> None:
    (run,) = of("a", SEND)
    due_at = make_due(run)
    hold()
    start()
    cancel_runs(token="t")
    enable("shift")
    assert (live(run).due_at, live(run).parked_due_at, status(run)) == (due_at, None, "cancelled")


# -- time and place of held runs ---------------------------------------------------------------------------


def test_a_held_run_is_given_another_time() -> None:
    (run,) = of("a", SEND)
    was = make_due(run)
    hold()
    start()
    moved = execution.reschedule(environment=production(), run=run, when=HOUR, actor="key/t")
    event = Event.objects.get(kind="rescheduled")
    assert (event.data["was_due_at"], moved.due_at) == (was.isoformat(), live(run).due_at)
    assert moved.is_held
    make_due(run)
    assert start() == []
    enable("fire_now")
    assert len(start()) == 1


def test_a_held_run_is_not_run_now() -> None:
    (run,) = of("a", DELAY, SEND)
    hold()
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            execution.reschedule(environment=production(), run=run, when=execution.NOW, actor="key/t")
        assert refused.value.code == "held"
        make_due(run)
        start()
    enable()
    assert execution.reschedule(environment=production(), run=run, when=execution.NOW, actor="key/t")


def test_holding_costs_nothing_where_nothing_is_held() -> None:
    of("a", SEND)
    of("b", SEND)
    with Captured() as without:
        (task, _) = start()
    with Captured() as written:
        finish(execution.perform(task))
    assert not any("parked" in query["sql"] for query in without.captured_queries)
    assert sum("held_at" in query["sql"] for query in without.captured_queries) == 1  # at the gate
    assert not any("parked" in query["sql"] for query in written.captured_queries)
