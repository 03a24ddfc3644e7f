"""Keeps house: takes back what lost workers held, settles it, archives cancelled runs, frees old keys."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q, Subquery

from automations import cancellation as cancelling
from automations import machine, publication, scheduled, undo
from automations.definition import DEFAULT_TIMEOUT, Kind
from automations.directory import providers
from automations.execution import roster
from automations.models import (
    BORN,
    PARENT_CANCELLED,
    Cancellation,
    Contact,
    Ended,
    Ending,
    Environment,
    Event,
    EventKind,
    Invocation,
    Listener,
    LiveRun,
    LiveState,
    Move,
    Occurrence,
    Run,
    Worker,
    database_now,
    definition_of,
    gate,
    insert,
    is_restoring,
    owed,
    retried,
    standing,
)
from automations.notices import endpoints
from automations.testpoints import testpoint

CHUNK = 1_000
SWEPT_AT_LEAST, SWEPT_AT_MOST = 2_000, 20_000
SWEEPING_SECONDS = 0.1  # for which a chunk's rows are locked, about
REAPED_AT_ONCE = 100
ARCHIVING_SECONDS = 0.05


def keep_house(environment: Environment) -> bool:
    """One round: reap, settle, let go what was held, archive for a twentieth of a second; whether there is more.

    Cheap when there is nothing to do.
    """
    now = database_now()
    live = LiveRun.objects.within(environment.pk)
    if live.expired(now=now).exists():
        reap(environment)
    if live.filter(unsettled__isnull=False).exists():
        settle(environment)
    scheduled.carry_out_due(environment, now=now)
    until = time.monotonic() + ARCHIVING_SECONDS
    while standing(environment=environment).exists():
        if sweep(environment) is None:
            break
        if time.monotonic() > until:
            return True
    while publication.resume(environment):
        if time.monotonic() > until:
            return True
    unarchived = Cancellation.objects.filter(environment=environment, archived_at__isnull=True)
    may_be_undone = Q(undo_until__gt=now, undone_at=None)
    for row in unarchived.filter(~may_be_undone, swept_at__isnull=False).order_by("pk")[:100]:
        if row.undone_at is not None:
            undo.restore(environment, row)
        else:
            # Its sender may be slow, or dead: the runs are named before they are archived
            cancelling.complete(row)
            archive(environment, row)
        if time.monotonic() > until:  # some of it is done each time, however slow the machine is
            return True
    return False


def sweep(environment: Environment) -> int | None:
    """Gives the oldest bar some more of the runs under it; the number given. None where no bar stands, or another
    sweeper has it in hand: a younger bar waits, since a run is the oldest one's that is over it. None as well where
    it must stand until an undo has brought back what may be under it."""
    bar, given = _sweep_on(environment)
    if bar is None:
        return None
    if bar.swept_to >= (bar.as_of_run or 0):
        if is_restoring(environment.pk):
            return None
        _end_sweep(environment, bar)
    return given


@retried
def _sweep_on(environment: Environment) -> tuple[Cancellation | None, int]:
    """The bar is read anew and locked each time: two sweepers do not meet, and an undo is never overtaken."""
    with gate(environment_id=environment.pk):
        bar = _oldest_bar(environment)
        if bar is None or bar.swept_to >= (bar.as_of_run or 0):
            return bar, 0
        begun = time.monotonic()
        given = LiveRun.objects.sweep(bar, limit=_swept_at_once[0])
        testpoint("sweep.moved")
        bar.save(update_fields=["swept_to"])
    pace = SWEEPING_SECONDS / max(time.monotonic() - begun, 0.001)
    _swept_at_once[0] = max(SWEPT_AT_LEAST, min(SWEPT_AT_MOST, int(_swept_at_once[0] * min(pace, 2))))
    return bar, given


@retried
def _end_sweep(environment: Environment, swept: Cancellation) -> None:
    """It is swept when none is left, which a full look says and not a short chunk: workers give it runs at the same
    time. The look takes as long as the bar is big, so nobody waits for it; what it saw only becomes less, but by an
    undo, which sets the bar back."""
    left, cancelled = LiveRun.objects.under(swept)
    testpoint("sweep.looked")
    with gate(environment_id=environment.pk) as (now, *_):
        bar = _oldest_bar(environment)
        if bar is None or bar.pk != swept.pk or bar.swept_to < (bar.as_of_run or 0):
            return
        bar.swept_to = 0 if left else bar.swept_to
        bar.swept_at, bar.cancelled = (None, None) if left else (now, cancelled)
        bar.save(update_fields=["swept_to", "swept_at", "cancelled"])


def _oldest_bar(environment: Environment) -> Cancellation | None:
    """The oldest bar that stands, locked until the transaction ends; None where there is none, or another has it."""
    oldest = standing(environment=environment)
    mine = oldest.filter(pk=Subquery(oldest.values("pk")[:1]))
    return mine.select_for_update(skip_locked=True).first()


@retried
def reap(environment: Environment) -> int:
    """Takes back attempts whose lease ran out: run again, or failed when their attempts are used up; the
    attempt counts as in flight until it is settled. The number taken back."""
    with gate(environment_id=environment.pk) as (now, barred, *_):
        expired = LiveRun.objects.within(environment.pk).expired(now=now)
        # Who waits for one of them is locked first: a cancel goes from the parent to the child as well.
        born = dict(expired.filter(BORN).values_list("pk", "parent_id"))
        waiting = LiveRun.objects.awaiting(list(born.items()))
        rows = list(expired.select_for_update(skip_locked=True).order_by("pk")[:REAPED_AT_ONCE])
        if barred and LiveRun.objects.give_to_bars([row.pk for row in rows]):
            rows = list(expired.filter(pk__in=[row.pk for row in rows]).order_by("pk"))
        testpoint("reap.read")
        versions = dict(Run.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", "version_id"))
        events = [_reap(row, version_id=versions[row.pk], now=now) for row in rows]
        failed = [Ending(event.run_id, "failed") for event in events if event.data["next"] == "failed"]
        insert([*events, *owed(failed, environment_id=environment.pk, at=now)])
        uids = {row.pk: str(row.uid) for row in rows}
        ended = [
            Ended(end.run_id, uids[end.run_id], born[end.run_id], end.status)
            for end in failed
            if end.run_id in born
        ]
        LiveRun.objects.wake(waiting, ended, now=now)
        return len(rows)


def _reap(row: LiveRun, *, version_id: int | None, now: datetime) -> Event:
    definition = definition_of(version_id=version_id, invocation_id=row.invocation_id)
    step = definition.step_at(row.position)
    started_at = row.started_at or now
    lost: dict[str, Any] = {
        "position": row.position if step is not None and step.kind is Kind.EFFECT else None,
        "step": step.name if step else row.position,
        "action": step.action if step else "end",
        "attempt": row.attempt,
        "fence": row.fence,
        "started_at": started_at.isoformat(),
        "deadline": (started_at + (step.timeout if step else DEFAULT_TIMEOUT)).isoformat(),
        "worker": row.worker,
    }
    move = None
    if row.state == LiveState.RUNNING:
        plan = machine.Plan(position=row.position, due_at=now, now=now)
        if step is not None:
            plan = machine.after_loss(step=step, attempt=row.attempt, now=now)
        move = Move(
            run_id=row.pk, fence=row.fence, position=plan.position, due_at=plan.due_at, status=plan.status,
            status_reason=plan.status_reason, has_errors=plan.has_errors,
        )  # fmt: skip
    if LiveRun.objects.reap(row, move=move, lost=lost) != 1:
        raise AssertionError(f"run {row.pk} was locked and expired, yet not taken back")
    error = {"kind": "worker_lost", "message": "its worker was lost; whether it had its effect is not known"}
    following = "failed" if move is not None and move.status else "waiting"
    return Event(
        run_id=row.pk, at=now, kind=EventKind.REAPED, step=lost["step"], attempt=row.attempt,
        data={"fence": row.fence, "started_at": lost["started_at"], "error": error, "next": following},
    )  # fmt: skip


@retried
def settle(environment: Environment) -> int:
    """Settles lost attempts that can have no effect any more, as unknown; the number of runs settled."""
    live = LiveRun.objects.within(environment.pk).filter(unsettled__isnull=False)
    lost = dict(live.values_list("pk", "unsettled"))
    workers = roster.of_attempts(entry for entries in lost.values() for entry in entries or ())
    with gate(environment_id=environment.pk) as (now, barred, *_):
        ended = [
            pk for pk, entries in lost.items()
            if any(roster.has_ended(entry, workers, now=now) for entry in entries or ())
        ]  # fmt: skip
        if barred:  # what was in flight at a cancel is known as such from then on
            LiveRun.objects.give_to_bars(ended[:REAPED_AT_ONCE])
        rows = live.filter(pk__in=ended[:REAPED_AT_ONCE]).select_for_update(skip_locked=True).order_by("pk")
        # Only what was lost when the workers were looked up: an attempt lost since has another worker.
        return sum(_settle(row, lost[row.pk] or [], workers, now=now) for row in rows)


def _settle(
    row: LiveRun, known: Sequence[Mapping[str, Any]], workers: Mapping[int, Worker], *, now: datetime
) -> int:
    gone = [
        entry for entry in row.unsettled or ()
        if entry in known and roster.has_ended(entry, workers, now=now)
    ]  # fmt: skip
    if not gone:
        return 0
    testpoint("settle.read")
    insert(
        Event(
            run_id=row.pk, at=now, kind=EventKind.SETTLED, step=entry["step"], attempt=entry["attempt"],
            data={"fence": entry["fence"], "outcome": "unknown"},
        )
        for entry in gone
    )  # fmt: skip
    return LiveRun.objects.settle(row, fences=[entry["fence"] for entry in gone])


def archive(environment: Environment, cancellation: Cancellation) -> int:
    """Takes up to a thousand of the cancellation's cancelled runs into history; the number taken.

    It finds them by the cancellation's own filter, which an index serves; LiveRun has none on cancellation. When
    none is left, those that were called off because they are beneath one of them.
    """
    mine = LiveRun.objects.within(environment.pk).filter(cancellation=cancellation.pk)
    archived = 0
    for condition, reason in (
        (cancellation.scope.condition(), cancellation.status_reason),
        (BORN, PARENT_CANCELLED),
    ):
        if condition != BORN or mine.filter(BORN).exists():
            archived += _archive_chunk(environment, cancellation, condition, reason=reason)
        if mine.filter(condition).exists():
            return archived
    if cancelling.outstanding(cancellation):  # of runs that another cancel has called off
        return archived
    if not cancellation.counted:
        cancelling.count(cancellation)
    told = {name: getattr(cancellation, name) for name in ("counted", "matched", "already_finished")}
    whole = Cancellation.objects.filter(pk=cancellation.pk, undone_at=None)
    whole.update(archived_at=database_now(), **told)
    return archived


@retried
def _archive_chunk(environment: Environment, cancellation: Cancellation, condition: Q, *, reason: str) -> int:
    with gate(environment_id=environment.pk):
        live = LiveRun.objects.within(environment.pk).filter(condition)
        return live.archive(cancellation=cancellation, limit=CHUNK, reason=reason)


def tidy() -> None:
    """Idempotency keys whose time is over no longer hold anything; workers long silent, events and deliveries of
    long ago, addresses and the rules of invocations that have ended are forgotten; secrets are sealed by the newest
    key."""
    now = database_now()
    roster.forget(now=now)
    endpoints.forget_deliveries()
    endpoints.reseal()
    providers.reseal()
    for holder in (Invocation, Cancellation, Occurrence):
        holder.free_keys(now=now)
    Occurrence.forget(now=now)
    _listeners_seen[0] = Listener.objects.forget(behind=_listeners_seen[0])
    _contacts_seen[0] = Contact.objects.forget(now=now, behind=_contacts_seen[0])


_swept_at_once = [SWEPT_AT_LEAST]  # as fast as this process has found it to go
_listeners_seen = [0]  # the last one looked at, in this process
_contacts_seen = [0]
