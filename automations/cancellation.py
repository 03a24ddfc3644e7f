"""The verb *cancel*: from its commit on, no further step of the runs it names starts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Q

from automations.models import (
    COUNTED_FINISHED,
    UNFINISHED,
    Automation,
    Cancellation,
    CancellationFilter,
    Cancelled,
    Environment,
    Invocation,
    LiveRun,
    LiveState,
    No,
    Origin,
    Refusal,
    Run,
    beneath,
    counting,
    database_now,
    definition_of,
    gate,
    has_children,
    insert,
    reached,
    retried,
    standing,
)
from automations.testpoints import testpoint

AT_ONCE = 1_000  # a cancel that matches more runs is a bar
LISTED = 1_000  # run ids on a receipt
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
    at_most: int | None = None  # runs: it is refused if it would call off more


def cancel(request: CancelRequest) -> tuple[Cancellation, bool]:
    """The acknowledged cancellation, its receipt stored, and whether it is a replay of an earlier one.

    Refusal for an empty filter, a reason too long, more runs than `at_most`, or an idempotency key that came with
    another body.
    """
    if request.filter.is_empty:
        raise Refusal.at("/filter", "empty_filter", "at least one filter is required", kind=No.MALFORMED)
    if len(request.reason) > LONGEST_REASON:
        raise Refusal.at("/reason", "too_long", f"a reason may have at most {LONGEST_REASON} characters")
    if (earlier := _earlier(request)) is not None:
        return earlier, True
    testpoint("cancel.begins")
    request = resolved(request)
    try:
        cancellation = _cancel(request) or _place_bar(request)
    except IntegrityError:
        if (earlier := _earlier(request)) is None:  # not the idempotency key's constraint
            raise
        return earlier, True
    testpoint("cancel.committed")
    return cancellation, False


@retried
def _cancel(request: CancelRequest) -> Cancellation | None:
    """Moves the runs one by one; None where they are too many, and nothing was done."""
    environment = request.environment.pk
    counted = [counting(request.filter, environment_id=environment, most=AT_ONCE + 1)]
    beside = counted if request.filter.bar is not None else []
    with gate(environment_id=environment, beside=beside) as (now, barred, rows):
        if beside and _is_many(rows[0][0][0]):
            return None
        return carry_out(request, now=now, barred=barred)


def _is_many(matches: int) -> bool:
    """Whether so many runs are called off by a bar."""
    return matches > AT_ONCE


def carry_out(request: CancelRequest, *, now: datetime, barred: bool = True) -> Cancellation:
    """The cancel itself, inside a transaction behind the gate; its commit is the acknowledgement. `barred` says
    whether bars may stand: what they are for is not this one's to call off."""
    cancellation = _requested(request, request.filter, now=now)
    cancellation.swept_at = now
    if barred:
        LiveRun.objects.give_to_bars(
            list(matching(request.environment, request.filter).values_list("pk", flat=True))
        )
    moved, finished = LiveRun.objects.cancel(cancellation=cancellation, scope=request.filter)
    if request.at_most is not None and len(moved) > request.at_most:
        raise _outgrown(request.at_most)  # which rolls back
    testpoint("cancel.moved")
    _write_receipt(cancellation, moved, finished=finished)
    insert([cancellation])
    return cancellation


def _place_bar(request: CancelRequest) -> Cancellation:
    """A cancellation of any size: its row is in force at its commit, behind the exclusive gate. What is in flight
    is read after that, when nothing can start any more."""
    most = request.at_most
    if most is not None and trees_to_hit(request.environment, request.filter)[: most + 1].count() > most:
        raise _outgrown(most)
    cancellation = _insert_bar(request)
    testpoint("bar.placed")
    list_in_flight(cancellation)
    return cancellation


@retried
def _insert_bar(request: CancelRequest) -> Cancellation:
    with gate(environment_id=request.environment.pk, exclusive=True) as (now, *_):
        latest = Run.objects.newest_pk()
        scope = replace(request.filter, up_to=min(latest, request.filter.up_to or latest))
        cancellation = _requested(request, scope, now=now)
        cancellation.bar, cancellation.as_of_run = scope.bar, scope.up_to
        cancellation.counted, cancellation.in_flight = False, None
        insert([cancellation])
    return cancellation


def _requested(request: CancelRequest, scope: CancellationFilter, *, now: datetime) -> Cancellation:
    """The record of the request, with its idempotency key taken."""
    cancellation = Cancellation(
        environment=request.environment,
        actor=request.actor,
        origin=request.origin,
        reason=request.reason,
        request_id=request.request_id,
        filter=scope.as_json(),
        as_of=now,
    )
    cancellation.take_key(
        request.idempotency_key, fingerprint=request.fingerprint, now=now, until=now + KEY_KEPT,
        environment=request.environment,
    )  # fmt: skip
    return cancellation


def _outgrown(most: int) -> Refusal:
    return Refusal.at(
        "/plan", "plan_outgrown", f"more runs would be cancelled by now than the {most:,} that were shown"
    )


def matching(environment: Environment, scope: CancellationFilter) -> Any:
    """The unfinished runs that the filter matches now, by their rows."""
    return LiveRun.objects.within(environment.pk).filter(scope.condition(), state__in=scope.states)


def still_to_hit(environment: Environment, scope: CancellationFilter) -> Any:
    """Those of them that a cancel would call off: no bar has done so."""
    bars = list(standing(environment=environment))
    runs = matching(environment, scope)
    return runs.exclude(reached(bars, environment=environment)) if bars else runs


def trees_to_hit(environment: Environment, scope: CancellationFilter) -> Any:
    """The same with all beneath them."""
    runs = still_to_hit(environment, scope)
    if not has_children(environment):
        return runs
    named = scope.condition() & Q(state__in=scope.states)
    live = LiveRun.objects.within(environment.pk).filter(named | beneath(runs), state__in=UNFINISHED)
    bars = list(standing(environment=environment))
    return live.exclude(reached(bars, environment=environment)) if bars else live


def list_in_flight(bar: Cancellation) -> None:
    """Completes the receipt of a bar that stands: the steps in flight under it, and the first of its runs. Who comes
    second takes over what the first has told: some of the runs may be archived since."""
    # The older bars are read before the rows: what one of them has swept in between says so itself.
    older = list(standing(environment=bar.environment_id, as_of__lt=bar.as_of))
    live = LiveRun.objects.within(bar.environment_id)
    of_bar = Q(cancellation=bar.pk) | Q(cancellation=None) & ~reached(older, environment=bar.environment_id)
    mine = live.filter(bar.scope.condition()).filter(of_bar)
    if has_children(bar.environment_id):
        mine = live.filter(bar.scope.condition() | beneath(mine)).filter(of_bar)
    started = mine.filter(due_at__lte=database_now(), state__in=(LiveState.RUNNING, LiveState.CANCELLING))
    lost = mine.filter(unsettled__isnull=False)
    pks = {*started.values_list("pk", flat=True), *lost.values_list("pk", flat=True)}
    runs = Run.objects.filter(pk__in=pks).select_related("live").order_by("pk")
    bar.in_flight = [entry for run in runs for entry in _in_flight(run)]
    first = mine.exclude(cancellation=None, state=LiveState.CANCELLED).values_list("uid", flat=True)[:LISTED]
    bar.cancelled_run_ids = sorted(str(uid) for uid in first)
    told = {"in_flight": bar.in_flight, "cancelled_run_ids": bar.cancelled_run_ids}
    if not Cancellation.objects.filter(pk=bar.pk, in_flight__isnull=True).update(**told):
        bar.refresh_from_db(fields=list(told))


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


def unfinished_with_label(*, environment: Environment, token: str, most: int = 10_001) -> int:
    """How many unfinished runs a cancel by this token would hit now, counted up to `most`."""
    return int(still_to_hit(environment, CancellationFilter(token=token))[:most].count())


def resolved(request: CancelRequest) -> CancelRequest:
    """What the filter names looked up. Ids that are unknown here match nothing; an unknown automation is refused."""
    scope, found = request.filter, dict[str, Any]()
    if scope.run_ids and scope.run_pks is None:
        known = Run.objects.within(request.environment).filter(uid__in=scope.run_ids)
        found["run_pks"] = tuple(known.order_by("pk").values_list("pk", flat=True))
    if scope.automation is not None and scope.automation_id is None:
        automation = Automation.objects.within(request.environment).filter(key=scope.automation).first()
        if automation is None:
            message = f"there is no automation “{scope.automation[:100]}”"
            raise Refusal.at("/filter/automation", "automation_not_found", message)
        found["automation_id"] = automation.pk
    if scope.invocation is not None or scope.idempotency_key is not None:
        named = {"uid": scope.invocation, "idempotency_key": scope.idempotency_key}
        known_invocations = Invocation.objects.filter(
            environment=request.environment,
            **{name: value for name, value in named.items() if value is not None},
        )
        found["invocation_pks"] = tuple(known_invocations.order_by("pk").values_list("pk", flat=True))
    return replace(request, filter=replace(scope, **found)) if found else request


def _earlier(request: CancelRequest) -> Cancellation | None:
    """The cancellation that holds the request's idempotency key, its receipt whole."""
    earlier = Cancellation.earlier(
        key=request.idempotency_key, fingerprint=request.fingerprint, environment=request.environment
    )
    if earlier is not None and earlier.in_flight is None:  # whoever placed this bar has died since
        list_in_flight(earlier)
    return earlier


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
    finished = Run.objects.finished_under(cancellation)
    cancellation.already_finished = finished
    cancellation.matched = (cancellation.cancelled or 0) + cancellation.already_finished
    cancellation.counted = True


def _in_flight(run: Run) -> Iterator[dict[str, Any]]:
    """The steps of a cancelled run that had started and are not known to have ended."""
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


def _open_fences(row: LiveRun) -> set[int]:
    fences = {entry["fence"] for entry in row.unsettled or ()}
    return fences | {row.fence} if row.lease_until is not None else fences
