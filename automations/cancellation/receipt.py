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
    CancellationFilter,
    Environment,
    Hit,
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
    called_off = Q(cancellation__isnull=False) | Q(stands)  # by whomever: an earlier receipt is not at hand
    left = Q(stands, cancellation=None) & ~reached(older, environment=bar.environment_id)
    own = bar.scope.condition()
    mine = live.filter(own).filter(Q(cancellation=bar.pk) | left)
    children = has_children(bar.environment_id)
    if children:
        left &= own | beneath(live.filter(covered([bar])))
        mine = live.filter(own | beneath(mine)).filter(Q(cancellation=bar.pk) | left)
    # The runs before the steps: what the undo of an older cancel lets fall to the bar in between may be named by its
    # steps alone, but no run is named without them.
    bar.cancelled_run_ids = sorted(str(uid) for uid in mine.values_list("uid", flat=True)[:LISTED])
    bar.in_flight = steps_in_flight(_reached_by(bar.scope, live, children=children).filter(called_off))
    told = {"in_flight": bar.in_flight, "cancelled_run_ids": bar.cancelled_run_ids}
    if not Cancellation.objects.filter(pk=bar.pk, in_flight__isnull=True).update(**told):
        bar.refresh_from_db()  # somebody else has listed them, perhaps before the bar was undone


def left_in_flight(scope: CancellationFilter, *, environment: Environment) -> list[dict[str, Any]]:
    """Of the runs that the scope reaches, the steps that earlier cancels have left in flight."""
    if LiveState.RUNNING not in scope.states:
        return []
    live, bars = LiveRun.objects.within(environment.pk), list(standing(environment=environment))
    called_off = Q(cancellation__isnull=False) | reached(bars, environment=environment)
    return steps_in_flight(_reached_by(scope, live, children=has_children(environment)).filter(called_off))


def _reached_by(scope: CancellationFilter, live: Any, *, children: bool) -> Any:
    """Of these live rows those that the scope matches, in whatever state, and those beneath, where there are any."""
    own = scope.condition()
    return live.filter(own | beneath(live.filter(own)) if children else own)


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
    unfinished = LiveRun.objects.filter(run__uid__in=uids).select_related("run") if uids else ()
    left = {(str(live.run.uid), fence) for live in unfinished for fence in live.open_fences}
    return {
        row.pk: [entry for entry in row.in_flight or () if (entry["run"], entry["fence"]) in left]
        for row in cancellations
    }


def wait_until_settled(cancellation: Cancellation, *, seconds: float) -> bool:
    """Waits for the receipt's steps in flight to end, at most so long; whether all have."""
    deadline = time.monotonic() + seconds
    while left := outstanding(cancellation):
        if time.monotonic() >= deadline:
            break
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
    return not left


def write_receipt(cancellation: Cancellation, hit: Hit) -> None:
    """What the acknowledgement says: the runs moved and every step in flight, none left out, also of matching runs that
    an earlier cancel has called off. It is as of the moment at which nothing of them started any more."""
    cancellation.as_of = hit.at
    cancellation.cancelled = len(hit.moved)
    cancellation.cancelled_run_ids = [uid_text(uid) for _, uid, _ in hit.moved[:LISTED]]
    ending = [pk for pk, _, state in hit.moved if state == LiveState.CANCELLING] + hit.settling
    if ending:
        runs = Run.objects.filter(pk__in=ending).select_related("live").order_by("pk")
        cancellation.in_flight = [entry for run in runs for entry in _in_flight(run)]
    if not hit.moved and not cancellation.in_flight:
        cancellation.archived_at = cancellation.as_of
    cancellation.counted = len(hit.moved) <= LISTED and hit.finished <= COUNTED_FINISHED
    if cancellation.counted:
        cancellation.already_finished = hit.finished
        cancellation.matched = len(hit.moved) + hit.finished


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


_ENTRY = ("step", "action", "attempt", "started_at", "fence")
