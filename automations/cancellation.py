"""The verb *cancel*: from its commit on, no further step of the runs it names starts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from automations.models import (
    COUNTED_FINISHED,
    Cancellation,
    CancellationFilter,
    Cancelled,
    Environment,
    LiveRun,
    LiveState,
    No,
    Origin,
    Refusal,
    Run,
    definition_of,
    gate,
    insert,
    retried,
)
from automations.testpoints import testpoint

LISTED = 1_000  # run ids on a receipt; above it, what had finished before is counted later
KEY_KEPT = timedelta(hours=24)
LONGEST_REASON = 500
POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class CancelRequest:
    """Who asks for which runs to be called off, and why. `key` and `fingerprint` make repeating it harmless."""

    environment: Environment
    filter: CancellationFilter
    actor: str
    origin: Origin
    reason: str = ""
    request_id: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None


def cancel(request: CancelRequest) -> tuple[Cancellation, bool]:
    """The acknowledged cancellation, its receipt stored, and whether it is a replay of an earlier one.

    Refusal for an empty filter, a reason too long, or an idempotency key that came with another body.
    """
    if request.filter.is_empty:
        raise Refusal.at("/filter", "empty_filter", "at least one filter is required", kind=No.MALFORMED)
    if len(request.reason) > LONGEST_REASON:
        raise Refusal.at("/reason", "too_long", f"a reason may have at most {LONGEST_REASON} characters")
    if (earlier := _earlier(request)) is not None:
        return earlier, True
    testpoint("cancel.begins")
    try:
        cancellation = _cancel(_with_run_pks(request))
    except IntegrityError:
        if (earlier := _earlier(request)) is None:  # not the idempotency key's constraint
            raise
        return earlier, True
    testpoint("cancel.committed")
    return cancellation, False


@retried
def _cancel(request: CancelRequest) -> Cancellation:
    with gate(environment_id=request.environment.pk) as now:
        return carry_out(request, now=now)


def carry_out(request: CancelRequest, *, now: datetime) -> Cancellation:
    """The cancel itself, inside a transaction behind the gate; its commit is the acknowledgement."""
    cancellation = Cancellation(
        environment=request.environment,
        actor=request.actor,
        origin=request.origin,
        reason=request.reason,
        request_id=request.request_id,
        filter=request.filter.as_json(),
        as_of=now,
        swept_at=now,
    )
    cancellation.take_key(
        request.idempotency_key, fingerprint=request.fingerprint, now=now, until=now + KEY_KEPT,
        environment=request.environment,
    )  # fmt: skip
    moved, finished = LiveRun.objects.cancel(cancellation=cancellation, scope=request.filter, now=now)
    testpoint("cancel.moved")
    _write_receipt(cancellation, moved, finished=finished)
    insert([cancellation])
    return cancellation


def outstanding(cancellation: Cancellation) -> list[dict[str, Any]]:
    """Of the receipt's steps in flight, those not yet known to have ended."""
    uids = {UUID(entry["run"]) for entry in cancellation.in_flight}
    if not uids:
        return []
    settling = LiveRun.objects.filter(
        run__uid__in=uids, cancellation=cancellation.pk, state=LiveState.CANCELLING
    )
    open_fences = {
        (str(row.run.uid), fence) for row in settling.select_related("run") for fence in _open_fences(row)
    }
    return [entry for entry in cancellation.in_flight if (entry["run"], entry["fence"]) in open_fences]


def wait_until_settled(cancellation: Cancellation, *, seconds: float) -> bool:
    """Waits for the receipt's steps in flight to end, at most so long; whether all have."""
    deadline = time.monotonic() + seconds
    while left := outstanding(cancellation):
        if time.monotonic() >= deadline:
            break
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
    return not left


def unfinished_with_label(*, environment: Environment, token: str, most: int = 10_001) -> int:
    """How many unfinished runs a cancel by this token would hit now, counted up to `most`."""
    rows = LiveRun.objects.within(environment.pk).filter(
        CancellationFilter(token=token).condition(), state__in=(LiveState.WAITING, LiveState.RUNNING)
    )
    return rows[:most].count()


def _with_run_pks(request: CancelRequest) -> CancelRequest:
    """Public ids looked up; ids that are unknown here match nothing."""
    if not request.filter.run_ids or request.filter.run_pks is not None:
        return request
    known = Run.objects.within(request.environment).filter(uid__in=request.filter.run_ids)
    pks = tuple(known.order_by("pk").values_list("pk", flat=True))
    return replace(request, filter=replace(request.filter, run_pks=pks))


def _earlier(request: CancelRequest) -> Cancellation | None:
    """The cancellation that holds the request's idempotency key."""
    return Cancellation.earlier(
        key=request.idempotency_key, fingerprint=request.fingerprint, environment=request.environment
    )


def _write_receipt(cancellation: Cancellation, moved: list[Cancelled], *, finished: int) -> None:
    """What the acknowledgement says: the runs moved and every step in flight, none left out."""
    cancellation.cancelled = len(moved)
    cancellation.cancelled_run_ids = [uid for _, uid, _ in moved[:LISTED]]
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
    condition = CancellationFilter.from_json(cancellation.filter).condition()
    earlier = Run.objects.filter(
        condition, environment=cancellation.environment_id, status__isnull=False,
        finished_at__lte=cancellation.as_of,
    ).exclude(cancellation=cancellation.pk)  # fmt: skip
    cancellation.already_finished = earlier.count()
    cancellation.matched = (cancellation.cancelled or 0) + cancellation.already_finished
    cancellation.counted = True


def _in_flight(run: Run) -> Iterator[dict[str, Any]]:
    """The steps of a cancelled run that had started and are not known to have ended."""
    live = run.live
    if live.state != LiveState.CANCELLING:
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


def _open_fences(row: LiveRun) -> set[int]:
    fences = {entry["fence"] for entry in row.unsettled or ()}
    return fences | {row.fence} if row.lease_until is not None else fences
