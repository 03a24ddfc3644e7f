"""An undo against a start, an end, a rescuer, a sweeper, an archivist, another undo and a cancel, in both orders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from automations import cancellation as cancelling
from automations import execution, scheduled, undo
from automations.cancellation import CancelRequest
from automations.execution import Task, housekeeping
from automations.models import (
    Cancellation,
    CancellationFilter,
    Event,
    LiveRun,
    Origin,
    Refusal,
    Run,
    database_now,
)
from tests.races.held import overlap
from tests.races.history import failed, pass_deadlines
from tests.races.sink import Sink
from tests.races.together import rounds, together
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    production,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
Transition = Callable[[], Any]


def undone(receipt: Cancellation) -> str:
    """What came of an undo."""
    try:
        undo.undo(environment=production(), pk=receipt.pk, actor="a")
    except Refusal as refused:
        return refused.code
    return "undone"


def cancelled(run: Run) -> Cancellation:
    return cancel_runs(run_ids=(run.uid,))


def restore_all(receipt: Cancellation) -> None:
    while Cancellation.objects.filter(pk=receipt.pk, restored_at=None).exists():
        execution.keep_house(production())


def sent(sink: Sink, run: Run) -> list[str]:
    """The steps of the run that sent, in order."""
    return [key.rpartition(":")[2] for key in sink.keys if key.startswith(str(run.uid))]


def test_a_start_sees_all_of_an_undo_or_nothing() -> None:
    run = run_of(invoke(SEND))
    receipt = cancelled(run)
    said, tasks = overlap(lambda: undone(receipt), start, at="undo.moved")
    assert (said, [task.claim.run_id for task in tasks]) == ("undone", [run.pk])
    other = run_of(invoke(SEND))
    receipt = cancelled(other)
    tasks, said = overlap(start, lambda: undone(receipt), at="start.moved")
    assert (tasks, said, status(other)) == ([], "undone", "waiting")


ENDS: dict[str, tuple[str, Callable[[Task], Transition]]] = {
    "finish": ("finish.moved", lambda task: lambda: finish(execution.perform(task))),
    "fail": ("finish.moved", lambda task: lambda: finish(failed(task, retryable=False))),
    "retry": ("finish.moved", lambda task: lambda: finish(failed(task, retryable=True))),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_attempt_that_ends_before_the_undo_is_not_made_again(end: str) -> None:
    at, make = ENDS[end]
    run = run_of(invoke(SEND, SEND))
    (task,) = start()
    receipt = cancelled(run)
    overlap(make(task), lambda: undone(receipt), at=at)
    live = LiveRun.objects.get(pk=run.pk)
    assert (live.state, live.position, live.attempt) == ("waiting", "1", 0)


@pytest.mark.parametrize(("end", "position"), [("finish", "1"), ("fail", None), ("retry", "0")])
def test_an_attempt_that_ends_after_the_undo_ends_as_if_there_had_been_none(
    end: str, position: str | None
) -> None:
    _, make = ENDS[end]
    run = run_of(invoke(SEND, SEND))
    (task,) = start()
    receipt = cancelled(run)
    overlap(lambda: undone(receipt), make(task), at="undo.moved")
    live = LiveRun.objects.filter(pk=run.pk).first()
    assert (live and live.position) == position
    assert status(run) == ("failed" if position is None else "waiting")


def lost(run: Run) -> Task:
    """The task of an attempt in flight at a cancel, whose lease is over."""
    (task,) = start()
    assert task.claim.run_id == run.pk
    return task


@pytest.mark.parametrize("rescue", ["reap", "settle", "late"])
def test_an_attempt_that_was_lost_is_not_made_again(rescue: str, sink: Sink) -> None:
    run = run_of(invoke(SEND, SEND))
    task = lost(run)
    receipt = cancelled(run)
    expire_leases()
    if rescue != "reap":
        housekeeping.reap(production())
        pass_deadlines()
    done = execution.perform(task)
    at, transition = {
        "reap": ("reap.read", lambda: housekeeping.reap(production())),
        "settle": ("settle.read", lambda: housekeeping.settle(production())),
        "late": ("finish.moved", lambda: finish(done)),
    }[rescue]
    overlap(transition, lambda: undone(receipt), at=at)
    live = LiveRun.objects.get(pk=run.pk)
    assert (live.state, live.position, live.attempt) == ("waiting", "1", 0)
    work_off()
    assert (status(run), sent(sink, run)) == ("completed", ["0", "1"])


@pytest.mark.parametrize("rescue", ["settle", "late"])
def test_a_rescuer_that_comes_after_the_undo_moves_nothing(rescue: str, sink: Sink) -> None:
    run = run_of(invoke(SEND, SEND))
    task = lost(run)
    receipt = cancelled(run)
    expire_leases()
    housekeeping.reap(production())
    pass_deadlines()
    done = execution.perform(task)
    transition = {"settle": lambda: housekeeping.settle(production()), "late": lambda: finish(done)}[rescue]
    overlap(lambda: undone(receipt), transition, at="undo.moved")
    live = LiveRun.objects.get(pk=run.pk)
    assert (live.state, live.position, live.unsettled) == ("waiting", "1", None)


def bar(amount: int = 5) -> tuple[list[Run], Cancellation]:
    """Runs under a bar."""
    accepted = invoke(DELAY, SEND, token="t", recipients=[f"r{n}" for n in range(amount)])
    request = CancelRequest(
        environment=production(), filter=CancellationFilter(token="t"), actor="a", origin=Origin.API
    )
    return [run_of(accepted, index) for index in range(amount)], cancelling._place_bar(request)


def test_a_sweep_never_overtakes_an_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "SWEPT_AT_LEAST", 2)
    monkeypatch.setattr(housekeeping, "SWEPT_AT_MOST", 2)
    monkeypatch.setattr(housekeeping, "_swept_at_once", [2])
    sweep = partial(housekeeping.sweep, production())
    runs, receipt = bar()
    given, said = overlap(sweep, lambda: undone(receipt), at="sweep.moved")
    assert (given, said, [status(run) for run in runs]) == (2, "undone", ["waiting"] * 5)
    runs, receipt = bar()
    said, given = overlap(lambda: undone(receipt), sweep, at="undo.moved")
    assert (given, said, [status(run) for run in runs]) == (None, "undone", ["waiting"] * 5)
    assert LiveRun.objects.filter(cancellation=None).count() == 10


def test_what_a_chunk_archives_before_an_undo_is_brought_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "CHUNK", 2)
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(3)]
    receipt = cancel_runs(token="t")
    archive = partial(housekeeping.archive, production(), receipt)
    overlap(archive, lambda: undone(receipt), at="archive.read")
    archive()  # by what this housekeeper has read before the undo
    receipt.refresh_from_db()
    assert (receipt.restored, receipt.restored_at, receipt.archived_at) == (1, None, None)
    restore_all(receipt)
    receipt.refresh_from_db()
    assert (receipt.restored, [status(run) for run in runs]) == (3, ["waiting"] * 3)
    assert Event.objects.filter(kind="restored").count() == 3


def test_a_chunk_that_comes_second_archives_nothing() -> None:
    run = run_of(invoke(DELAY))
    receipt = cancelled(run)
    said, archived = overlap(
        lambda: undone(receipt), lambda: housekeeping.archive(production(), receipt), at="undo.moved"
    )
    assert (said, archived, status(run)) == ("undone", 0, "waiting")


def test_two_housekeepers_bring_each_run_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "CHUNK", 2)
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(3)]
    receipt = cancel_runs(token="t")
    archive_all()
    assert undone(receipt) == "undone"
    row = Cancellation.objects.get()
    bring = partial(undo.restore, production(), row)
    overlap(bring, bring, at="undo.read")
    restore_all(receipt)
    receipt.refresh_from_db()
    assert (receipt.restored, [status(run) for run in runs]) == (3, ["waiting"] * 3)
    assert Event.objects.filter(kind="restored").count() == 3


def test_of_two_undos_one_is_told_that_it_comes_too_late() -> None:
    run = run_of(invoke(DELAY))
    receipt = cancelled(run)
    said = overlap(lambda: undone(receipt), lambda: undone(receipt), at="undo.moved")
    assert (said, status(run)) == (("undone", "already_undone"), "waiting")
    assert Event.objects.filter(kind="restored").count() == 1


def test_a_cancel_hits_a_run_after_its_undo_and_not_before() -> None:
    run = run_of(invoke(DELAY, token="t"))
    receipt = cancelled(run)
    _, second = overlap(lambda: undone(receipt), lambda: cancel_runs(token="t"), at="undo.moved")
    assert (second.cancelled, read(run).called_off_by) == (1, second)
    third, said = overlap(lambda: cancel_runs(token="t"), lambda: undone(second), at="cancel.moved")
    assert (third.cancelled, third.already_finished, said, status(run)) == (0, 1, "undone", "waiting")


def test_a_worker_frozen_since_before_the_cancel_moves_nothing_when_it_wakes(sink: Sink) -> None:
    run = run_of(invoke(SEND, SEND, SEND))
    (frozen,) = start()
    receipt = cancelled(run)
    expire_leases()
    housekeeping.reap(production())
    pass_deadlines()
    housekeeping.settle(production())
    archive_all()
    assert undone(receipt) == "undone"
    restore_all(receipt)
    (task,) = start()
    assert (task.claim.position, task.claim.fence) == ("1", frozen.claim.fence + 2)
    finish(execution.perform(frozen))
    live = LiveRun.objects.get(pk=run.pk)
    assert (live.state, live.position, live.fence) == ("running", "1", task.claim.fence)
    finish(execution.perform(task))
    work_off()
    assert (status(run), sent(sink, run)) == ("completed", ["0", "1", "2"])


@rounds(5)
def test_all_at_the_same_moment() -> None:
    runs = [run_of(invoke(SEND, SEND, token="t")) for _ in range(3)]
    tasks = start(room=1)
    receipt = cancel_runs(token="t")
    said, other, *_ = together([
        lambda: undone(receipt), lambda: undone(receipt), lambda: finish(*map(execution.perform, tasks)),
        lambda: housekeeping.archive(production(), receipt),
    ])  # fmt: skip
    assert sorted([said, other]) == ["already_undone", "undone"]
    restore_all(receipt)
    assert sorted(LiveRun.objects.values_list("position", flat=True)) == ["0", "0", "1"]
    work_off()
    assert [status(run) for run in runs] == ["completed"] * 3


# -- cancels for later -------------------------------------------------------------------------------------


def due(token: str = "t") -> Cancellation:
    """A cancel whose time has come."""
    request = CancelRequest(
        environment=production(), filter=CancellationFilter(token=token), actor="a", origin=Origin.API
    )
    row, _ = scheduled.schedule(request, at=database_now() + timedelta(hours=1))
    Cancellation.objects.filter(pk=row.pk).update(at=database_now() - timedelta(seconds=1))
    return row


def carry_out() -> int:
    return scheduled.carry_out_due(production(), now=database_now())


@pytest.mark.parametrize("at", ["scheduled.read", "gate.passed", "cancel.moved", "cancel.committed"])
def test_of_two_workers_one_carries_a_cancel_out(at: str) -> None:
    run = run_of(invoke(DELAY, token="t"))
    row = due()
    assert sum(overlap(carry_out, carry_out, at=at)) == 1
    row.refresh_from_db()
    assert (row.cancelled, status(run), read(run).called_off_by) == (1, "cancelled", row)


@pytest.mark.parametrize("at", ["scheduled.read", "gate.passed", "bar.placed"])
def test_of_two_workers_one_places_its_bar(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(3)]
    row = due()
    assert sum(overlap(carry_out, carry_out, at=at)) == 1
    archive_all()
    row.refresh_from_db()
    assert (row.cancelled, [status(run) for run in runs]) == (3, ["cancelled"] * 3)


def test_a_cancel_that_is_withdrawn_in_time_is_not_carried_out() -> None:
    run = run_of(invoke(DELAY, token="t"))
    row = due()
    said, done = overlap(lambda: undone(row), carry_out, at="undo.moved")
    assert (said, done, status(run)) == ("undone", 0, "waiting")
    row = due()
    done, said = overlap(carry_out, lambda: undone(row), at="cancel.moved")
    assert (said, done, status(run)) == ("undone", 1, "waiting")


@rounds(5)
def test_four_workers_at_the_same_moment() -> None:
    run = run_of(invoke(DELAY, token="t"))
    row = due()
    assert sum(together([carry_out] * 4)) == 1
    assert read(run).called_off_by == row
