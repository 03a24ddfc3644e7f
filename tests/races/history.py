"""What a test asked of the product and what it was answered, in order; and whether the promise was kept."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from automations import cancellation, execution, machine, undo
from automations.cancellation import CancelRequest
from automations.execution import Accepted, Done, Task, housekeeping
from automations.models import (
    HELD,
    Cancellation,
    CancellationFilter,
    Event,
    LiveRun,
    Origin,
    Overdue,
    Refusal,
    Run,
    database_now,
)
from automations.steps import Outcome
from tests.scenes import cancel_runs, expire_leases, invoke, production, run_of, start

T = TypeVar("T")
Attempt = tuple[str, int]
"""An attempt as receipts name it: the run's public id, and the fence."""

FINAL = {"completed", "failed", "cancelled", "skipped"}
ROUNDS = 30  # of work and housekeeping, after which every run of a test has ended


@dataclass(kw_only=True)
class Call:
    """One call: the ticks of a counter between which it ran, and what it started, ended or called off."""

    begins: int
    ends: int = sys.maxsize  # of a call that raised: never
    started: set[Attempt] = field(default_factory=set)
    ended: set[Attempt] = field(default_factory=set)
    settles: bool = False
    undoes: UUID | None = None
    receipts: list[Cancellation] = field(default_factory=list)


class History:
    """Makes the calls, from any thread, and remembers them."""

    def __init__(self) -> None:
        self._ticks = itertools.count(1)
        self.calls: list[Call] = []
        self.terminal: dict[int, str] = {}
        self.positions: dict[Attempt, str] = {}

    def invoke(self, *steps: dict[str, Any], **given: Any) -> Run:
        """The first run of a new invocation."""
        call, accepted = self._call(lambda: invoke(*steps, **given))
        call.receipts = self._of_steps(accepted)
        return run_of(accepted)

    def start(self, room: int = 64) -> list[Task]:
        """Starts what is due."""
        call, tasks = self._call(lambda: start(room))
        self._has_started(call, tasks)
        return tasks

    def finish(self, *done: Done, room: int = 0) -> list[Task]:
        """Writes back, and starts what is due where there is room."""
        ended = {attempt(item.task) for item in done}
        turn = lambda: execution.turn(environment=production(), done=done, room=room)  # noqa: E731
        call, tasks = self._call(turn, ended=ended)
        self._has_started(call, tasks)
        return tasks

    def cancel(self, **scope: Any) -> Cancellation:
        """Cancels what the filter names."""
        call, receipt = self._call(lambda: cancel_runs(**scope))
        call.receipts = [receipt]
        return receipt

    def hold(self, **scope: Any) -> Cancellation:
        """The same, and holds for the runs that are accepted within the hour."""
        call, receipt = self._call(lambda: cancel_runs(hold_for=timedelta(hours=1), **scope))
        call.receipts = [receipt]
        return receipt

    def bar(self, **scope: Any) -> Cancellation:
        """The same, as if the filter matched more runs than are moved at once."""
        request = CancelRequest(
            environment=production(), filter=CancellationFilter(**scope), actor="user/ana", origin=Origin.API
        )
        call, receipt = self._call(lambda: cancellation._place_bar(request))
        call.receipts = [receipt]
        return receipt

    def reschedule(self, run_id: int) -> bool:
        """Lets the run go on at once, if it waits; whether it did."""
        run = Run.objects.get(pk=run_id)
        try:
            execution.reschedule(environment=production(), run=run, when=execution.NOW, actor="test")
        except Refusal:
            return False
        return True

    def undo(self, number: int = 0, overdue: str = "fire_now") -> bool:
        """Undoes one of the cancellations, counted from the oldest; whether it had not been undone before."""
        pks = list(Cancellation.objects.order_by("pk").values_list("pk", flat=True))
        if not pks:
            return False
        pk = pks[number % len(pks)]
        undo_it = lambda: undo.undo(  # noqa: E731
            environment=production(), pk=pk, actor="user/bo", overdue=Overdue(overdue)
        )
        try:
            self._call(undo_it, undoes=pk)
        except Refusal:
            return False
        return True

    def settle(self) -> int:
        """Settles lost attempts whose deadline has passed."""
        return self._call(lambda: housekeeping.settle(production()), settles=True)[1]

    def keep_house(self) -> bool:
        """A round of housekeeping."""
        return self._call(lambda: execution.keep_house(production()), settles=True)[1]

    def look(self) -> None:
        """Reads every run's status: a terminal one must never change again, unless what cancelled it is undone."""
        runs = list(Run.objects.with_state())
        undone = Cancellation.objects.exclude(undone_at=None).values_list("cancelled_run_ids", flat=True)
        called_off = {uid for uids in undone for uid in uids}
        for run in runs:
            status = run.public_status
            was = self.terminal.pop(run.pk, status)
            assert was == status or (was == "cancelled" and str(run.uid) in called_off), (
                f"{run} was {was}: {status}"
            )
            if status in FINAL:
                self.terminal[run.pk] = status

    def drain(self) -> None:
        """Works and keeps house, time passing, until every run has ended."""
        for _ in range(ROUNDS):
            if not LiveRun.objects.exists() and not Cancellation.objects.filter(archived_at=None).exists():
                return
            pass_time()
            self.keep_house()
            self.finish(*[execution.perform(task) for task in self.start()])
            self.look()
        left = list(map(str, LiveRun.objects.all()))
        raise AssertionError(f"not ended after {ROUNDS} rounds: {left}")

    def _call(self, function: Callable[[], T], **given: Any) -> tuple[Call, T]:
        call = Call(begins=next(self._ticks), **given)
        self.calls.append(call)
        answer = function()
        call.ends = next(self._ticks)
        return call, answer

    def _has_started(self, call: Call, tasks: Iterable[Task]) -> None:
        call.started = {attempt(task) for task in tasks}
        self.positions |= {attempt(task): task.claim.position for task in tasks}

    def _of_steps(self, accepted: Accepted) -> list[Cancellation]:
        actors = [f"run/{run['id']}" for run in accepted.runs]
        return list(Cancellation.objects.filter(actor__in=actors))


def attempt(task: Task) -> Attempt:
    """The task as receipts name it."""
    return task.run, task.claim.fence


def failed(task: Task, *, retryable: bool) -> Done:
    """What `execution.perform` gives when the outside refuses the delivery."""
    assert task.step is not None
    plan = machine.after_failure(
        step=task.step, attempt=task.claim.attempt, retryable=retryable, now=task.now()
    )
    return Done(task=task, outcome=Outcome.failed("delivery", "no", retryable=retryable), plan=plan)


def pass_time(*, seconds: float = 60) -> None:
    """As if every due time, lease and hard deadline had passed."""
    expire_leases()
    past = database_now() - timedelta(seconds=seconds)
    LiveRun.objects.filter(state="waiting", due_at__gt=past, awaits=None).update(due_at=past)
    pass_deadlines()


def pass_deadlines() -> None:
    """As if the hard deadline of every unsettled attempt had passed a minute ago."""
    past = (database_now() - timedelta(minutes=1)).isoformat()
    for pk, unsettled in LiveRun.objects.filter(unsettled__isnull=False).values_list("pk", "unsettled"):
        entries = [{**entry, "deadline": past} for entry in unsettled]
        LiveRun.objects.filter(pk=pk).update(unsettled=entries)


def check_invariants(history: History) -> None:
    """What must hold after any history, once nothing is under way: fails with what does not."""
    history.look()
    runs = {str(run.uid): run for run in Run.objects.with_state()}
    _check_rows(runs.values())
    _check_reports(runs)
    started = [one for call in history.calls for one in call.started]
    assert len(started) == len(set(started)), "an attempt was started twice"
    for call in history.calls:
        for receipt in call.receipts:
            _check_promise(history, call, receipt)


def _check_rows(runs: Iterable[Run]) -> None:
    """A run has a live row until it has its status, and no longer."""
    for run in runs:
        assert (run.status is None) == (run.live_run is not None), f"{run}: {run.status}, {run.live_run}"


def _check_reports(runs: dict[str, Run]) -> None:
    """A cancelled run is reported by the one cancellation that it bears, and by no other; unless that held it where
    it was born, when the receipt was out already."""
    receipts = list(Cancellation.objects.all())
    undone = {receipt.pk: receipt for receipt in receipts if receipt.undone_at is not None}
    reports = Counter[tuple[str, Any]]()
    for receipt in receipts:
        if receipt.swept_at is not None and not undone:
            assert receipt.cancelled == len(receipt.cancelled_run_ids)
        reports.update((uid, receipt.pk) for uid in receipt.cancelled_run_ids if receipt.pk not in undone)
    borne = Counter[tuple[str, Any]](
        (uid, run.called_off_by.pk)
        for uid, run in runs.items()
        if run.called_off_by is not None and run.reason != HELD
    )
    # Runs of an undone cancellation may wait to be brought back, or have fallen to a bar that stands over them.
    released = {uid for receipt in undone.values() for uid in receipt.cancelled_run_ids}
    bars = {receipt.pk for receipt in receipts if receipt.bar is not None}
    for uid, pk in list(borne - reports):
        if pk in undone:
            assert undone[pk].restored_at is None, f"{uid} bears {pk}, all of which is restored"
        else:
            assert uid in released and pk in bars, f"{uid} bears {pk}, which does not report it"  # noqa: PT018
    assert not reports - borne, f"reported {reports}, borne {borne}"
    held = {uid for uid, run in runs.items() if run.reason == HELD}
    cancelled = {uid for uid, run in runs.items() if run.public_status == "cancelled"}
    assert {uid for uid, _ in borne} | held == cancelled


def _check_promise(history: History, cancel: Call, receipt: Cancellation) -> None:
    """Nothing of its runs starts after the acknowledgement; what is open then is on it, and nothing else."""
    listed = {(entry["run"], entry["fence"]) for entry in receipt.in_flight}
    undone = next(
        (call for call in history.calls if call.undoes == receipt.pk and call.ends < sys.maxsize), None
    )
    for run in receipt.cancelled_run_ids:
        for call in history.calls:
            mine = {one for one in call.started if one[0] == run}
            if undone is not None and mine and undone.begins < call.ends and cancel.ends < call.begins:
                _check_repeats(history, mine, receipt, undone)
                continue
            assert not mine or call.begins < cancel.ends, f"{mine} started after the acknowledgement"
            may_be_open = {one for one in mine if not _ended_before(history, one, cancel, surely=False)}
            assert may_be_open <= listed, f"open and not listed: {may_be_open - listed}"
            closed = {one for one in mine if _ended_before(history, one, cancel, surely=True)}
            assert not closed & listed, f"listed, and ended before: {closed & listed}"
    held = {str(uid) for uid in receipt.held().values_list("uid", flat=True)}
    assert not held & {run for call in history.calls for run, _ in call.started}, "a held run started"
    started = {one for call in history.calls if call.begins < cancel.ends for one in call.started}
    assert listed <= started, f"listed, and never started: {listed - started}"


def _check_repeats(history: History, started: set[Attempt], receipt: Cancellation, undone: Call) -> None:
    """Of what started after the undo, nothing is a step that had been in flight at the cancel and ended before the
    undo. One of which another attempt was under way still goes on as if there had been no cancel, and has its
    retries."""
    listed = [
        (entry["run"], entry["fence"]) for entry in receipt.in_flight or () if entry["action"] == "send"
    ]
    over = {one for one in listed if _ended_before(history, one, undone, surely=True)}
    goes_on = {(one[0], history.positions[one]) for one in listed if one not in over}
    for one in over:
        step = (one[0], history.positions[one])
        again = {other for other in started if (other[0], history.positions[other]) == step}
        assert step in goes_on or not again, f"{again} repeat {one}, which was in flight at the cancel"


def _ended_before(history: History, one: Attempt, cancel: Call, *, surely: bool) -> bool:
    """Whether the attempt was known to have ended when the cancel was carried out: surely, or possibly."""
    calls = [call for call in history.calls if one in call.ended or (call.settles and not surely)]
    return any(call.ends < cancel.begins if surely else call.begins < cancel.ends for call in calls)


def check_ends(history: History) -> None:
    """Lets everything come to its end and checks again: each run ended once, and its log says so."""
    history.drain()
    check_invariants(history)
    undone = {str(pk) for pk in Cancellation.objects.exclude(undone_at=None).values_list("pk", flat=True)}
    cancelled = Event.objects.filter(kind="cancelled").exclude(data__cancellation__in=undone)
    ended = Run.objects.filter(status="cancelled").values_list("pk", flat=True)
    assert sorted(cancelled.values_list("run_id", flat=True)) == sorted(ended)
    restored = Event.objects.filter(kind="restored").values_list("run_id", "data__cancellation")
    assert len(restored) == len(set(restored)), "a run was restored twice"
    assert all(receipt.restored_at for receipt in Cancellation.objects.exclude(undone_at=None))
