"""The verb *undo*: what a cancellation called off goes on, except for the steps that were in flight."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import F

from automations import cancellation as cancelling
from automations.models import (
    Cancellation,
    Environment,
    Listener,
    LiveRun,
    No,
    OnCancelStart,
    Overdue,
    Refusal,
    Run,
    audit_of_runs,
    database_now,
    gate,
    reached,
    retried,
    standing,
)
from automations.testpoints import testpoint

CHUNK = 1_000


def anybody_may(cancellation: Cancellation, *, now: datetime) -> bool:
    """Whether whoever may cancel may undo it at that moment (UTC): within its `undo_until`, and before it is carried
    out. Later that is an administrator's to do."""
    until = cancellation.undo_until
    return not cancellation.is_carried_out or (until is not None and now <= until)


class AdminsOnly(Exception):
    """It is not anybody's to undo any more; nothing was changed."""


@retried
def undo(
    *,
    environment: Environment,
    pk: UUID,
    actor: str,
    overdue: Overdue = Overdue.FIRE_NOW,
    is_admin: bool = True,
) -> Cancellation:
    """The cancellation, undone: from this commit on its runs go on, by the rule `overdue` for those whose time has
    passed. What is archived is brought back in the background, until `restored_at` is set. One that has not been
    carried out never will be. Refusal when it is unknown, or undone already; AdminsOnly, unless `is_admin`, when it
    is not what `anybody_may`: behind the gate, where nobody else carries it out.
    """
    with gate(environment_id=environment.pk, exclusive=True) as (now, *_):
        row = Cancellation.objects.filter(environment=environment, pk=pk).select_for_update().first()
        if row is None:
            raise Refusal(No.NOT_FOUND, "cancellation_not_found", f"there is no cancellation {pk}")
        if row.undone_at is not None:
            raise Refusal.at("", "already_undone", "this cancellation has been undone already")
        if not (is_admin or anybody_may(row, now=now)):
            raise AdminsOnly
        row.undone_at, row.undone_by, row.overdue = now, actor, overdue
        if not row.is_carried_out:
            row.restored_at = now
        else:
            _lift(row, now=now)
        testpoint("undo.moved")
        row.save()
        audit_of_runs(
            "runs.undone", of=f"cancellation/{pk}", by=actor, environment_id=environment.pk,
            after={"overdue": overdue},
        )  # fmt: skip
    testpoint("undo.committed")
    return row


def _lift(row: Cancellation, *, now: datetime) -> None:
    """Lets its runs go on; those archived are left to housekeeping."""
    left = _lift_bar(row, now=now) if row.swept_at is None else 0
    restored = LiveRun.objects.restore(row)
    row.restored += restored + left
    if row.cancelled is None:
        row.cancelled = row.restored
    OnCancelStart.objects.filter(cancellation=row.pk).delete()
    # What it lets go may be under a younger bar, behind where that was swept to.
    standing(environment=row.environment_id).exclude(pk=row.pk).update(swept_to=0)
    is_archived = Run.objects.filter(cancellation=row.pk).exists()
    row.restored_at = None if is_archived else now
    row.archived_at = now if row.counted and not is_archived else None


def _lift_bar(bar: Cancellation, *, now: datetime) -> int:
    """Ends a bar that is not swept: it is given what the undo has a rule for, and what is left was never touched;
    how many runs that are."""
    # Its sender may be slow, or dead: the receipt is made whole while the bar stands
    cancelling.complete(bar)
    bars = [
        one for one in standing(environment=bar.environment_id) if (one.as_of, one.pk) <= (bar.as_of, bar.pk)
    ]
    LiveRun.objects.give_what_passed(bars, now=now)
    mine, older = (
        reached(some, environment=bar.environment_id) for some in ([bar], [one for one in bars if one != bar])
    )
    bar.swept_at = now
    return LiveRun.objects.within(bar.environment_id).filter(mine).exclude(older).count()


def restore(environment: Environment, cancellation: Cancellation) -> int:
    """Brings up to a thousand archived runs of an undone cancellation back; the number. After the last it is
    noted that all are restored."""
    restored = _restore_chunk(environment, cancellation)
    if restored or Run.objects.filter(cancellation=cancellation.pk, status="cancelled").exists():
        return restored
    _wake_left(environment, cancellation)
    now = database_now()
    if not cancellation.counted:
        cancelling.count(cancellation)
    cancellation.archived_at = now
    cancellation.restored_at = cancellation.restored_at or now
    cancellation.save(update_fields=["archived_at", "restored_at", "counted", "matched", "already_finished"])
    return restored


@retried
def _wake_left(environment: Environment, cancellation: Cancellation) -> None:
    """Its runs that wait for a child which has ended meanwhile go on. All of them are live again, and whoever ends a
    child from now on sees that; those who did not have committed when the gate is passed."""
    if not LiveRun.objects.resting(cancellation).exists():
        return
    with gate(environment_id=environment.pk, exclusive=True) as (now, *_):
        LiveRun.objects.wake_restored(cancellation, now=now)


@retried
def _restore_chunk(environment: Environment, cancellation: Cancellation) -> int:
    with gate(environment_id=environment.pk):
        runs = LiveRun.objects.bring_back(cancellation, limit=CHUNK)
        Listener.objects.renew(runs, environment=environment)
        Cancellation.objects.filter(pk=cancellation.pk).update(restored=F("restored") + len(runs))
        return len(runs)
