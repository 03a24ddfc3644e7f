"""A cancellation undone: its runs go on where they stood, by the rule for times that passed, and no step in flight is
repeated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from automations import execution, undo
from automations.execution import housekeeping
from automations.explanation import explain
from automations.models import (
    Cancellation,
    Environment,
    Event,
    Listener,
    LiveRun,
    OnCancelStart,
    Overdue,
    Refusal,
    Run,
    database_now,
    steps_of_run,
)
from tests.races.history import pass_deadlines
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    keep_house,
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
RESTORED = ("position", "state", "attempt", "lease_until", "started_at", "cancellation_id")


def undone(cancellation: Cancellation, overdue: str = "fire_now") -> Cancellation:
    """The cancellation undone, with all that it had called off restored."""
    done = undo.undo(environment=production(), pk=cancellation.pk, actor="user/ana", overdue=Overdue(overdue))
    while done.restored_at is None:
        execution.keep_house(production())
        done.refresh_from_db()
    return done


def cancelled(run: Run) -> Cancellation:
    receipt = cancel_runs(run_ids=(run.uid,))
    assert receipt.cancelled == 1
    return receipt


def live(run: Run) -> LiveRun:
    return LiveRun.objects.get(pk=run.pk)


def restored(run: Run) -> list[dict[str, Any]]:
    return list(run.events.filter(kind="restored").values_list("data", flat=True))


@pytest.fixture(params=["at once", "archived"])
def later(request: pytest.FixtureRequest) -> Callable[[], None]:
    """What happens between the cancel and the undo: nothing, or its runs are archived."""
    return archive_all if request.param == "archived" else lambda: None


def states(run: Run) -> list[str]:
    return [state.status for state in steps_of_run(read(run))]


def test_a_waiting_run_waits_again_until_its_old_time(later: Callable[[], None]) -> None:
    run = run_of(invoke(SEND, DELAY, SEND, token="t", key="k", tags=["vip"]))
    work_off()
    before = live(run)
    receipt = cancelled(run)
    later()
    done = undone(receipt)
    after = live(run)
    same = [field.attname for field in LiveRun._meta.concrete_fields if field.name != "fence"]
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert after.fence == before.fence + (later is archive_all)
    assert (done.restored, done.undone_by, done.overdue) == (1, "user/ana", "fire_now")
    row = read(run)
    assert (row.public_status, row.called_off_by, row.ended_at, row.reason) == ("waiting", None, None, "")
    assert states(run) == ["completed", "waiting", "pending"]
    (said,) = restored(run)
    for name in ("was_due_at", "due_at"):  # which a database may write in its own way
        assert datetime.fromisoformat(said.pop(name)) == before.due_at
    assert said == {
        "cancellation": str(receipt.pk), "as_of": receipt.as_of.isoformat(), "actor": "user/ana",
        "overdue": "fire_now", "from": "2", "position": "2",
    }  # fmt: skip
    make_due(run)
    work_off()
    assert (status(run), states(run)) == ("completed", ["completed", "completed", "completed"])


@pytest.mark.parametrize(("overdue", "position"), [("fire_now", "1"), ("shift", "1"), ("skip", "2")])
def test_a_time_that_passed_is_dealt_with_by_the_rule(
    overdue: str, position: str, later: Callable[[], None]
) -> None:
    run, spared = (run_of(invoke(DELAY, SEND, SEND)) for _ in range(2))
    receipt = cancel_runs(run_ids=(run.uid, spared.uid))
    due_at, waits_until = make_due(run), live(spared).due_at
    later()
    done = undone(receipt, overdue)
    after = live(run)
    assert done.undone_at is not None
    passed = done.undone_at - receipt.as_of
    assert (after.state, after.position) == ("waiting", position)
    assert after.due_at == due_at + (passed if overdue == "shift" else timedelta())
    assert (live(spared).position, live(spared).due_at) == ("1", waits_until)
    (said,) = restored(run)
    assert datetime.fromisoformat(said["due_at"]) == after.due_at
    assert said.get("passed") == ("skipped" if overdue == "skip" else None)
    make_due(run)
    assert work_off() == (1 if overdue == "skip" else 2)
    assert states(run) == ["completed", "skipped" if overdue == "skip" else "completed", "completed"]
    if overdue == "skip":
        assert steps_of_run(read(run))[1].skip_reason == "undone"


def test_a_delay_that_is_shifted_is_shown_until_its_new_time() -> None:
    run = run_of(invoke(DELAY, SEND))
    receipt = cancelled(run)
    Cancellation.objects.filter(pk=receipt.pk).update(as_of=receipt.as_of - 2 * HOUR)
    due_at = make_due(run)
    Event.objects.filter(run=run).update(
        data={"folded": [{"step": "0", "outcome": "waiting", "due_at": due_at.isoformat()}]}
    )
    undone(receipt, "shift")
    row = read(run)
    assert row.due_at is not None
    assert row.due_at > database_now() + HOUR
    assert [(state.status, state.due_at) for state in steps_of_run(row)] == [
        ("waiting", row.due_at), ("pending", None),
    ]  # fmt: skip


def test_those_that_are_due_keep_their_order() -> None:
    runs = [run_of(invoke(SEND, key=f"k{n}", token="t")) for n in range(4)]
    undone(cancel_runs(token="t"))
    assert [task.claim.run_id for task in start()] == [run.pk for run in runs]


def test_a_step_in_flight_goes_on_under_its_lease() -> None:
    run = run_of(invoke(SEND, SEND))
    (task,) = start()
    before = live(run)
    undone(cancelled(run))
    after = live(run)
    assert {name: getattr(after, name) for name in RESTORED} == {
        name: getattr(before, name) for name in RESTORED
    }
    assert (after.state, after.fence, start()) == ("running", task.claim.fence, [])
    finish(execution.perform(task))
    assert work_off() == 1
    assert (status(run), states(run)) == ("completed", ["completed", "completed"])
    assert [event.attempt for event in run.events.filter(kind="step_completed")] == [1, 1]


def test_a_step_that_ended_meanwhile_is_not_run_again(later: Callable[[], None]) -> None:
    run = run_of(invoke(SEND, SEND))
    (task,) = start()
    receipt = cancelled(run)
    finish(execution.perform(task))
    later()
    undone(receipt)
    assert (live(run).position, live(run).state, live(run).attempt) == ("1", "waiting", 0)
    assert states(run) == ["completed", "waiting"]
    assert restored(run)[0]["passed"] == "in_flight"
    assert [one.claim.position for one in start()] == ["1"]


def test_a_step_whose_worker_was_lost_is_not_run_again_while_it_may_still_send() -> None:
    run = run_of(invoke(SEND, SEND))
    (task,) = start()
    receipt = cancelled(run)
    expire_leases()
    housekeeping.reap(production())
    undone(receipt)
    after = live(run)
    assert (after.state, after.position, len(after.unsettled or ())) == ("waiting", "1", 1)
    assert states(run) == ["failed", "waiting"]
    finish(execution.perform(task))
    assert live(run).unsettled is None
    assert states(run) == ["completed", "waiting"]


def test_a_lost_step_that_waits_for_its_next_try_is_not_run_again(later: Callable[[], None]) -> None:
    run = run_of(invoke(SEND, SEND))
    start()
    expire_leases()
    housekeeping.reap(production())
    receipt = cancelled(run)
    assert len(receipt.in_flight or ()) == 1
    pass_deadlines()
    housekeeping.settle(production())
    assert live(run).state == "cancelled"
    later()
    undone(receipt)
    assert (live(run).position, live(run).state) == ("1", "waiting")
    assert states(run) == ["failed", "waiting"]
    assert steps_of_run(read(run))[0].error["kind"] == "worker_lost"


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_step_that_nobody_started_is_run_though_one_before_it_is_unsettled(is_settled: bool) -> None:
    run = run_of(invoke(SEND, DELAY, SEND))
    start()
    expire_leases()
    housekeeping.reap(production())
    make_due(run)
    finish(*[execution.perform(task) for task in start()])
    assert (live(run).position, len(live(run).unsettled or ())) == ("2", 1)
    receipt = cancelled(run)
    if is_settled:
        pass_deadlines()
        housekeeping.settle(production())
    undone(receipt)
    assert (live(run).position, live(run).state) == ("2", "waiting")


def test_a_step_without_an_effect_is_not_passed_over(later: Callable[[], None]) -> None:
    run = run_of(invoke(DELAY, DELAY, SEND))
    make_due(run)
    (task,) = start()
    receipt = cancelled(run)
    finish(execution.perform(task))
    later()
    undone(receipt)
    assert (live(run).position, live(run).state) == ("1", "waiting")
    work_off()
    assert live(run).due_at > database_now()
    assert states(run) == ["completed", "waiting", "pending"]


def test_a_lost_step_without_an_effect_is_not_passed_over() -> None:
    run = run_of(invoke(DELAY, DELAY, SEND))
    make_due(run)
    start()
    receipt = cancelled(run)
    expire_leases()
    housekeeping.reap(production())
    pass_deadlines()
    housekeeping.settle(production())
    undone(receipt)
    assert (live(run).position, live(run).state) == ("1", "waiting")


def test_behind_its_last_step_a_run_ends() -> None:
    run = run_of(invoke(SEND))
    (task,) = start()
    receipt = cancelled(run)
    finish(execution.perform(task))
    undone(receipt)
    work_off()
    assert (status(run), states(run)) == ("completed", ["completed"])


def test_a_cancellation_that_hit_nothing_can_be_undone() -> None:
    done = undone(cancel_runs(token="nobody"))
    assert (done.restored, done.restored_at, done.archived_at) == (0, done.undone_at, done.undone_at)


def test_it_is_undone_once() -> None:
    receipt = cancelled(run_of(invoke(DELAY)))
    undone(receipt)
    with pytest.raises(Refusal) as refused:
        undone(receipt)
    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [("", "already_undone")]
    with pytest.raises(Refusal, match="there is no cancellation"):
        undo.undo(environment=Environment.objects.get(key="test"), pk=receipt.pk, actor="a")


def test_nothing_is_archived_while_whoever_may_cancel_may_undo() -> None:
    run, other = run_of(invoke(DELAY)), run_of(invoke(DELAY))
    receipt, soon = cancelled(run), cancelled(other)
    later = database_now() + HOUR
    Cancellation.objects.filter(pk=receipt.pk).update(undo_until=later)
    keep_house()
    assert LiveRun.objects.get() == live(run)
    soon.refresh_from_db()
    assert soon.archived_at is not None
    Cancellation.objects.filter(pk=receipt.pk).update(undo_until=receipt.as_of)
    execution.keep_house(production())
    assert not LiveRun.objects.exists()


def test_a_later_cancel_that_counted_a_run_as_finished_does_not_hit_it_after_the_undo() -> None:
    run = run_of(invoke(DELAY, token="t"))
    first, second = cancel_runs(token="t"), cancel_runs(token="t")
    assert (first.cancelled, second.cancelled, second.already_finished) == (1, 0, 1)
    undone(first)
    assert status(run) == "waiting"
    third = cancel_runs(token="t")
    assert (third.cancelled, read(run).called_off_by) == (1, third)
    archive_all()
    assert [event.kind for event in run.events.all()] == ["invoked", "restored", "cancelled"]


def test_what_another_cancellation_called_off_is_left_alone(later: Callable[[], None]) -> None:
    runs, receipts = [], []
    for _ in range(2):
        runs.append(run_of(invoke(DELAY, token="t")))
        receipts.append(cancel_runs(token="t"))
    later()
    assert undone(receipts[1]).restored == 1
    assert [status(run) for run in runs] == ["cancelled", "waiting"]
    assert read(runs[0]).called_off_by == receipts[0]


def test_runs_archived_in_part_are_restored_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "CHUNK", 2)
    monkeypatch.setattr(undo, "CHUNK", 2)
    runs = [run_of(invoke(DELAY, SEND, token="t")) for _ in range(7)]
    receipt = cancel_runs(token="t")
    housekeeping.archive(production(), receipt)
    housekeeping.archive(production(), receipt)
    assert LiveRun.objects.count() == 3
    done = undo.undo(environment=production(), pk=receipt.pk, actor="a")
    assert (done.restored_at, done.restored) == (None, 3)
    assert sorted(status(run) for run in runs) == ["cancelled"] * 4 + ["waiting"] * 3
    assert undo.restore(production(), done) == 2
    done.refresh_from_db()
    assert (done.restored_at, done.restored) == (None, 5)
    while done.restored_at is None:
        execution.keep_house(production())
        done.refresh_from_db()
    assert (done.restored, [status(run) for run in runs]) == (7, ["waiting"] * 7)
    assert [len(restored(run)) for run in runs] == [1] * 7
    assert not Cancellation.objects.filter(archived_at=None).exists()


def test_what_on_cancel_has_not_started_yet_is_dropped() -> None:
    publish("sorry", {"steps": [SEND]})
    publish("one", {"steps": [DELAY], "on_cancel": {"invoke": "sorry"}})
    run = run_of(invoke(definition=None, automation="one"))
    receipt = cancelled(run)
    archive_all()
    assert OnCancelStart.objects.count() == 1
    undone(receipt)
    assert (OnCancelStart.objects.count(), execution.start_what_follows(most=9)) == (0, 0)
    again = cancelled(run)
    archive_all()
    assert OnCancelStart.objects.get().cancellation_id == again.pk


def test_what_a_run_listens_for_is_found_again() -> None:
    rule = {"event": "paid"}
    run = run_of(
        invoke(definition={"steps": [DELAY, SEND], "cancel_on": [rule]}),
    )
    receipt = cancelled(run)
    archive_all()
    Listener.objects.forget(behind=0)
    assert not Listener.objects.filter(event="paid").exists()
    undone(receipt)
    assert Listener.objects.get(event="paid").invocation_id == run.invocation_id


def test_a_concurrency_key_is_kept() -> None:
    publish("one", {"steps": [DELAY], "concurrency": {"key": "data.user_id", "policy": "reject_new"}})
    run = run_of(invoke(definition=None, automation="one"))
    key = live(run).concurrency_key
    assert key is not None
    receipt = cancelled(run)
    archive_all()
    undone(receipt)
    assert live(run).concurrency_key == key


def test_a_held_run_has_its_concurrency_key_when_it_is_let_go() -> None:
    publish("one", {"steps": [DELAY], "concurrency": {"key": "data.user_id", "policy": "reject_new"}})
    hold = cancel_runs(automation="one", hold_for=HOUR)
    held = run_of(invoke(definition=None, automation="one"))
    undone(hold)
    with pytest.raises(Refusal, match=str(held.uid)):
        invoke(definition=None, automation="one")


def test_explanations_tell_that_it_was_undone() -> None:
    run = run_of(invoke(DELAY, token="t"))
    receipt = undone(cancel_runs(token="t"))
    assert (explain(read(run), receipt).hit, explain(read(run), receipt).reason) == (False, "undone")
