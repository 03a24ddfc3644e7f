"""A bar undone: it lifts at once, swept or not, and what it had called off goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from automations import cancellation as cancelling
from automations import execution, testpoints, undo
from automations.execution import housekeeping
from automations.models import Cancellation, LiveRun, Overdue, Run, standing
from tests.races.history import pass_deadlines
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
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
from tests.test_undo import live, restored, undone

pytestmark = pytest.mark.django_db


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cancel of two runs is a bar."""
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)


def many(*steps: dict[str, Any], token: str = "t", amount: int = 3, **given: Any) -> list[Run]:
    accepted = invoke(*steps, token=token, recipients=[f"r{n}" for n in range(amount)], **given)
    return [run_of(accepted, index) for index in range(amount)]


def test_a_bar_that_is_not_swept_lifts_at_once(bars: None) -> None:
    runs = many(DELAY)
    receipt = cancel_runs(token="t")
    assert [status(run) for run in runs] == ["cancelled"] * 3
    done = undone(receipt)
    assert [status(run) for run in runs] == ["waiting"] * 3
    assert (done.restored, done.cancelled, done.matched, done.counted) == (3, 3, None, False)
    assert not standing().exists()
    assert housekeeping.sweep(production()) is None
    assert cancelling.unfinished_with_label(environment=production(), token="t") == 3


def test_a_bar_swept_in_part_gives_back_what_it_has(bars: None, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = many(DELAY, amount=5)
    receipt = cancel_runs(token="t")
    monkeypatch.setattr(housekeeping, "_swept_at_once", [2])
    housekeeping.sweep(production())
    done = undone(receipt)
    assert ([status(run) for run in runs], done.restored) == (["waiting"] * 5, 5)
    assert [len(restored(run)) for run in runs] == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(("overdue", "position"), [("fire_now", "1"), ("skip", "2")])
def test_the_rule_is_for_runs_under_a_bar_that_nobody_has_touched_too(
    bars: None, overdue: str, position: str
) -> None:
    runs = many(DELAY, SEND, SEND)
    receipt = cancel_runs(token="t")
    make_due(runs[0])
    undone(receipt, overdue)
    assert [live(run).position for run in runs] == [position, "1", "1"]


def test_a_lost_step_under_a_bar_is_not_run_again_though_it_settles_before_the_sweep(bars: None) -> None:
    runs = many(SEND, SEND)
    start(room=1)
    expire_leases()
    housekeeping.reap(production())
    receipt = cancel_runs(token="t")
    assert len(receipt.in_flight or ()) == 1
    pass_deadlines()
    housekeeping.settle(production())
    undone(receipt)
    assert [live(run).position for run in runs] == ["1", "0", "0"]


def test_an_unsettled_step_under_a_bar_is_not_run_again(bars: None) -> None:
    runs = many(SEND, SEND)
    start(room=1)
    expire_leases()
    housekeeping.reap(production())
    undone(cancel_runs(token="t"))
    assert [live(run).position for run in runs] == ["1", "0", "0"]


def test_what_another_bar_stands_over_is_that_bars(bars: None) -> None:
    publish("one", {"steps": [DELAY], "cancellation_token": "t"})
    runs = [run_of(invoke(definition=None, automation="one")) for _ in range(3)]
    other = run_of(invoke(DELAY, token="t"))
    older, younger = cancel_runs(automation="one"), cancel_runs(token="t")
    done = undone(older)
    assert (done.restored, [read(run).called_off_by for run in runs]) == (3, [younger] * 3)
    assert undone(younger).restored == 4
    assert [status(run) for run in (*runs, other)] == ["waiting"] * 4


def test_what_an_older_bar_stands_over_is_not_given_back(bars: None) -> None:
    runs = many(DELAY, tags=["vip"])
    others = many(DELAY)
    older, younger = cancel_runs(token="t", tags=("vip",)), cancel_runs(token="t")
    assert undone(younger).restored == 3
    assert [status(run) for run in (*runs, *others)] == ["cancelled"] * 3 + ["waiting"] * 3
    assert undone(older).restored == 3


def test_a_bar_whose_receipt_is_not_whole_is_made_whole_first(bars: None) -> None:
    many(SEND, SEND)
    start(room=1)
    receipt = cancel_runs(token="t")
    listed = receipt.in_flight
    Cancellation.objects.filter(pk=receipt.pk).update(in_flight=None)
    done = undone(receipt)
    assert (done.in_flight, len(listed or ())) == (listed, 1)
    stale = Cancellation.objects.get(pk=receipt.pk)
    start()
    stale.in_flight = None
    cancelling.list_in_flight(stale)
    assert stale.in_flight == listed


def test_a_receipt_completed_after_the_sweep_names_nothing_that_another_undo_let_go(bars: None) -> None:
    loose, *others = many(DELAY)
    earlier = cancel_runs(run_ids=(loose.uid,))

    def sweep_and_let_go(name: str) -> None:
        if name == "bar.placed":
            while housekeeping.sweep(production()) is not None:
                pass
            undone(earlier)

    with testpoints.watched(sweep_and_let_go):
        receipt = cancel_runs(token="t")
    assert receipt.cancelled_run_ids == sorted(str(run.uid) for run in others)
    assert [status(run) for run in (loose, *others)] == ["waiting", "cancelled", "cancelled"]


def test_a_bar_is_swept_and_not_archived_while_it_may_be_undone(bars: None) -> None:
    many(DELAY)
    receipt = cancel_runs(token="t")
    Cancellation.objects.filter(pk=receipt.pk).update(undo_until=receipt.as_of + timedelta(hours=1))
    keep_house()
    assert LiveRun.objects.filter(state="cancelled", cancellation=receipt.pk).count() == 3
    assert undone(receipt).restored == 3


def test_a_big_cancel_is_counted_after_its_undo(bars: None, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = run_of(invoke(SEND, token="t"))
    work_off()
    many(DELAY)
    receipt = cancel_runs(token="t")
    undone(receipt)
    while Cancellation.objects.filter(archived_at=None).exists():
        execution.keep_house(production())
    receipt.refresh_from_db()
    assert status(finished) == "completed"
    assert (receipt.matched, receipt.cancelled, receipt.already_finished, receipt.restored) == (4, 3, 1, 3)


@pytest.mark.parametrize("by", ["token", "run_ids", "everything"])
def test_a_cancel_stands_in_the_way_of_runs_that_an_undo_is_bringing_back(by: str) -> None:
    run, other = run_of(invoke(DELAY, SEND, token="t")), run_of(invoke(DELAY, SEND, token="u"))
    earlier = cancel_runs(run_ids=(run.uid, other.uid))
    archive_all()
    undo.undo(environment=production(), pk=earlier.pk, actor="user/ana", overdue=Overdue.FIRE_NOW)
    scopes: dict[str, dict[str, Any]] = {
        "token": {"token": "t"}, "run_ids": {"run_ids": (run.uid,)}, "everything": {"everything": True},
    }  # fmt: skip
    receipt = cancel_runs(**scopes[by])
    assert (receipt.bar is not None, housekeeping.sweep(production())) == (
        True,
        None,
    )  # it stands until they are back
    while execution.keep_house(production()) or standing().exists():
        pass
    receipt.refresh_from_db()
    both = by == "everything"
    assert (receipt.cancelled, receipt.already_finished) == (2 if both else 1, 0)
    assert [status(one) for one in (run, other)] == ["cancelled", "cancelled" if both else "waiting"]
    assert read(run).called_off_by == receipt
    earlier.refresh_from_db()
    assert (earlier.restored, earlier.restored_at is not None) == (2, True)


def test_once_they_are_back_a_cancel_is_no_bar() -> None:
    run = run_of(invoke(DELAY, token="t"))
    earlier = cancel_runs(token="t")
    archive_all()
    undone(earlier)
    receipt = cancel_runs(token="t")
    assert (receipt.bar, receipt.cancelled, read(run).called_off_by) == (None, 1, receipt)


def test_a_cancel_step_stands_in_their_way_as_well() -> None:
    run = run_of(invoke(DELAY, SEND, token="t"))
    earlier = cancel_runs(token="t")
    archive_all()
    undo.undo(environment=production(), pk=earlier.pk, actor="user/ana", overdue=Overdue.FIRE_NOW)
    invoke({"action": "cancel", "cancellation_token": "t"}, SEND)
    while execution.keep_house(production()) or standing().exists():
        pass
    assert (status(run), read(run).status_reason) == ("cancelled", "cancel_step")


@pytest.mark.parametrize("statement", range(1, 8))
def test_no_receipt_names_a_run_without_its_steps_whenever_an_older_cancel_is_undone(
    bars: None, statement: int
) -> None:
    """Between any two statements with which a bar's receipt is completed."""
    many(SEND, SEND)
    (task,) = start(room=1)
    older = cancel_runs(run_pks=(task.claim.run_id,))
    newer = cancel_runs(token="t")
    assert (older.bar is None, newer.in_flight) == (True, older.in_flight)
    Cancellation.objects.filter(pk=newer.pk).update(in_flight=None, cancelled_run_ids=[])
    newer.refresh_from_db()
    asked = 0

    def undone_before(execute: Any, *given: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == statement:
            undone(older)
        return execute(*given)

    with connection.execute_wrapper(undone_before):
        cancelling.complete(newer)
    newer.refresh_from_db()
    names_run = task.run in newer.cancelled_run_ids
    assert newer.in_flight == older.in_flight
    if statement == 1:
        assert names_run
