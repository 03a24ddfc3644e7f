"""What the acknowledgement of a cancel says: the runs it moved, and every step that was in flight."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Exists, Q

from automations.models import (
    COUNTED_FINISHED,
    Cancellation,
    Cancelled,
    LiveRun,
    LiveState,
    Run,
    beneath,
    covered,
    database_now,
    definition_of,
    has_children,
    reached,
    standing,
    uid_text,
)

LISTED = 1_000  # run ids on a receipt
POLL_SECONDS = 0.05


def list_in_flight(bar: Cancellation) -> None:
    """Completes the receipt of a bar that stands: the steps in flight under it, and the first of its runs."""
    # The older bars are read before the rows: what one of them has swept in between says so itself. What bears no
    # cancellation is the bar's only while it stands: after its sweep that is what the undo of another one let go.
    older = list(standing(environment=bar.environment_id, as_of__lt=bar.as_of))
    stands = Exists(Cancellation.objects.filter(pk=bar.pk, swept_at=None))
    live = LiveRun.objects.within(bar.environment_id)
    left = Q(stands, cancellation=None) & ~reached(older, environment=bar.environment_id)
    own = bar.scope.condition()
    mine = live.filter(own).filter(Q(cancellation=bar.pk) | left)
    if has_children(bar.environment_id):
        left &= own | beneath(live.filter(covered([bar])))
        mine = live.filter(own | beneath(mine)).filter(Q(cancellation=bar.pk) | left)
    # The runs before the steps: what the undo of an older cancel lets fall to the bar in between may be named by its
    # steps alone, but no run is named without them.
    bar.cancelled_run_ids = sorted(str(uid) for uid in mine.values_list("uid", flat=True)[:LISTED])
    bar.in_flight = steps_in_flight(mine)
    told = {"in_flight": bar.in_flight, "cancelled_run_ids": bar.cancelled_run_ids}
    if not Cancellation.objects.filter(pk=bar.pk, in_flight__isnull=True).update(**told):
        bar.refresh_from_db()  # somebody else has listed them, perhaps before the bar was undone


def steps_in_flight(live: Any) -> list[dict[str, Any]]:
    """Of the runs of these live rows, the steps that had started and are not known to have ended."""
    started = live.filter(due_at__lte=database_now(), state__in=(LiveState.RUNNING, LiveState.CANCELLING))
    lost = live.filter(unsettled__isnull=False)
    pks = {*started.values_list("pk", flat=True), *lost.values_list("pk", flat=True)}
    runs = Run.objects.filter(pk__in=pks).select_related("live").order_by("pk")
    return [entry for run in runs for entry in _in_flight(run)]


def outstanding(cancellation: Cancellation) -> list[dict[str, Any]]:
    """Of the receipt's steps in flight, those not yet known to have ended."""
    return all_outstanding([cancellation])[cancellation.pk]


def all_outstanding(cancellations: Sequence[Cancellation]) -> dict[UUID, list[dict[str, Any]]]:
    """The same of each, by id, in one statement; none where nothing was in flight."""
    uids = {UUID(entry["run"]) for row in cancellations for entry in row.in_flight or ()}
    open_in: dict[tuple[str, int], UUID | None] = {}
    if uids:
        for live in LiveRun.objects.filter(run__uid__in=uids).select_related("run"):
            open_in |= {(str(live.run.uid), fence): live.cancellation_id for fence in _open_fences(live)}
    return {
        row.pk: [
            entry for entry in row.in_flight or ()
            if open_in.get((entry["run"], entry["fence"]), "ended") in (row.pk, None)  # None: not swept yet
        ]
        for row in cancellations
    }  # fmt: skip


def wait_until_settled(cancellation: Cancellation, *, seconds: float) -> bool:
    """Waits for the receipt's steps in flight to end, at most so long; whether all have."""
    deadline = time.monotonic() + seconds
    while left := outstanding(cancellation):
        if time.monotonic() >= deadline:
            break
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
    return not left


def write_receipt(cancellation: Cancellation, moved: list[Cancelled], *, finished: int) -> None:
    """What the acknowledgement says: the runs moved and every step in flight, none left out."""
    cancellation.cancelled = len(moved)
    cancellation.cancelled_run_ids = [uid_text(uid) for _, uid, _ in moved[:LISTED]]
    running = [pk for pk, _, state in moved if state == LiveState.CANCELLING]
    if running:
        runs = Run.objects.filter(pk__in=running).select_related("live").order_by("pk")
        cancellation.in_flight = [entry for run in runs for entry in _in_flight(run)]
    if not moved:
        cancellation.archived_at = cancellation.as_of
    cancellation.counted = len(moved) <= LISTED and finished <= COUNTED_FINISHED
    if cancellation.counted:
        cancellation.already_finished = finished
        cancellation.matched = len(moved) + finished


def count(cancellation: Cancellation) -> None:
    """Fills in the counts that the acknowledgement left open, once its runs are archived."""
    finished = Run.objects.finished_under(cancellation)
    cancellation.already_finished = finished
    cancellation.matched = (cancellation.cancelled or 0) + cancellation.already_finished
    cancellation.counted = True


def _in_flight(run: Run) -> Iterator[dict[str, Any]]:
    """The steps of a run that had started and are not known to have ended."""
    live = run.live_run
    if live is None or live.state == LiveState.CANCELLED:
        return
    for entry in live.unsettled or ():
        yield {"run": str(run.uid), **{name: entry[name] for name in _ENTRY}}
    if live.lease_until is not None and live.started_at is not None:
        step = definition_of(version_id=run.version_id, invocation_id=run.invocation_id).step_at(
            live.position
        )
        yield {
            "run": str(run.uid),
            "step": step.name if step else live.position,
            "action": step.action if step else "end",
            "attempt": live.attempt,
            "started_at": live.started_at.isoformat(),
            "fence": live.fence,
        }


def _open_fences(row: LiveRun) -> set[int]:
    fences = {entry["fence"] for entry in row.unsettled or ()}
    return fences | {row.fence} if row.lease_until is not None else fences


_ENTRY = ("step", "action", "attempt", "started_at", "fence")
