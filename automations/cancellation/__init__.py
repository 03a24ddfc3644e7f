"""The verb *cancel*: from its commit on, no further step of the runs it names starts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from automations.cancellation.receipt import (
    all_outstanding,
    count,
    left_in_flight,
    list_in_flight,
    outstanding,
    steps_in_flight,
    wait_until_settled,
    write_receipt,
)
from automations.models import (
    UNFINISHED,
    Automation,
    Cancellation,
    CancellationFilter,
    Environment,
    LiveRun,
    No,
    Origin,
    Refusal,
    Run,
    audit_of_runs,
    below_one_of,
    counting,
    gate,
    has_children,
    insert,
    keys_named,
    restoring,
    retried,
    spared,
    standing,
    what_cannot_hold,
)
from automations.models.statements import Rows, Statement, fetch
from automations.testpoints import testpoint

__all__ = [
    "AT_ONCE",
    "LONGEST_REASON",
    "CancelRequest",
    "NotWaiting",
    "Shown",
    "all_outstanding",
    "cancel",
    "carry_out",
    "carry_out_any_size",
    "carry_out_now",
    "check_reason",
    "complete",
    "count",
    "counts",
    "left_in_flight",
    "list_in_flight",
    "matching",
    "must_be_bar",
    "once",
    "outstanding",
    "place_bar",
    "requested",
    "resolved",
    "steps_in_flight",
    "still_to_hit",
    "trees_to_hit",
    "unfinished_with_label",
    "wait_until_settled",
    "write_receipt",
]

AT_ONCE = 1_000  # a cancel that matches more runs is a bar
KEY_KEPT = timedelta(hours=24)
LONGEST_REASON = 500


@dataclass(frozen=True)
class Shown:
    """What was shown beforehand: how many runs there were, and their primary keys; None of too many to name."""

    most: int
    runs: frozenset[int] | None = None

    def covers(self, kinds: Iterable[Any]) -> bool:
        """Whether all these runs, each kind of them in a queryset, were shown, or at least no more."""
        if self.runs is None:
            return sum(int(kind[: self.most + 1].count()) for kind in kinds) <= self.most
        return all(self.runs.issuperset(kind.values_list("pk", flat=True)[: self.most + 1]) for kind in kinds)

    def check(self, pks: Collection[int]) -> None:
        """Refusal where others were not shown, or more are given than were."""
        if len(pks) > self.most or (self.runs is not None and not self.runs.issuperset(pks)):
            raise self.outgrown

    @property
    def outgrown(self) -> Refusal:
        message = f"other runs would be cancelled by now than the {self.most:,} that were shown"
        return Refusal.at("/plan", "plan_outgrown", message)


@dataclass(frozen=True, kw_only=True)
class CancelRequest:
    """Who asks for which runs to be called off, and why. `key` and `fingerprint` make repeating it harmless. With
    `hold_for` it also has the runs accepted until then; an undo is free for `undo_for`."""

    environment: Environment
    filter: CancellationFilter
    actor: str
    origin: Origin
    reason: str = ""
    request_id: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None
    key_kept: timedelta = KEY_KEPT
    shown: Shown | None = None  # it is refused if it would call off anything else
    hold_for: timedelta | None = None
    undo_for: timedelta | None = None  # how long whoever may cancel may undo it; so long nothing is archived
    stored: UUID | None = None  # a cancellation stored before, which is to be carried out now

    @property
    def held_key(self) -> str | None:
        """What its idempotency key is held as: each dialect's keys are its own. The tab stands in no key."""
        if self.idempotency_key is None or self.origin is Origin.API:
            return self.idempotency_key
        return f"{self.origin}\t{hashlib.sha256(self.idempotency_key.encode()).hexdigest()}"


def cancel(request: CancelRequest) -> tuple[Cancellation, bool]:
    """The acknowledged cancellation, its receipt stored, and whether it is a replay of an earlier one.

    Refusal for an empty filter, a reason too long, runs that were not `shown`, a filter that cannot hold what it is
    to hold, or an idempotency key that came with another body.
    """
    return once(request, carry_out_now)


def carry_out_now(request: CancelRequest) -> Cancellation:
    """The cancel in transactions of its own, whatever the number of its runs."""
    testpoint("cancel.begins")
    request = resolved(request)
    cancellation = _cancel(request) or _place_bar(request)
    testpoint("cancel.committed")
    return cancellation


def once(request: CancelRequest, store: Callable[[CancelRequest], Cancellation]) -> tuple[Cancellation, bool]:
    """What `store` makes of the request, or what an earlier request with its idempotency key was told, and whether
    it is the latter. Refusal for a request that is none, as for `cancel`."""
    if request.filter.is_empty:
        raise Refusal.at("/filter", "empty_filter", "at least one filter is required", kind=No.MALFORMED)
    check_reason(request.reason)
    if (earlier := _earlier(request)) is not None:
        return earlier, True
    try:
        return store(request), False
    except IntegrityError:
        if (earlier := _earlier(request)) is None:  # not the idempotency key's constraint
            raise
        return earlier, True


@retried
def _cancel(request: CancelRequest) -> Cancellation | None:
    """Moves the runs one by one; None where they are too many, and nothing was done. What holds takes the gate
    exclusively: each invoke has committed before it, or sees it."""
    environment = request.environment.pk
    beside = counts(request.filter, environment_id=environment)
    exclusive = request.hold_for is not None
    with gate(environment_id=environment, exclusive=exclusive, beside=beside) as passage:
        if must_be_bar(passage.rows):
            return None
        return carry_out(request, now=passage.now, barred=passage.barred)


def counts(scope: CancellationFilter, *, environment_id: int) -> list[Statement]:
    """The statement whose rows `must_be_bar` is asked of; none for a filter that cannot be one."""
    if scope.lasting_bar is None:
        return []
    if scope.bar is None:
        return [restoring(environment_id)]
    return [counting(scope, environment_id=environment_id, most=AT_ONCE + 1)]


def must_be_bar(rows: Sequence[Rows]) -> bool:
    """Whether it takes a bar to call them off: they are many, or an undo is bringing back runs, perhaps some of these,
    which nothing but a bar can stand in the way of."""
    return any(restores or any(map(_is_many, matches)) for ((restores, *matches),) in rows)


def _is_many(matches: int) -> bool:
    return matches > AT_ONCE


def carry_out(request: CancelRequest, *, now: datetime, barred: bool = True) -> Cancellation:
    """The cancel itself, inside a transaction behind the gate (the exclusive one, for what holds); its commit is the
    acknowledgement. `barred` says whether bars may stand: what they are for is not this one's to call off."""
    cancellation = requested(request, request.filter, now=now)
    cancellation.swept_at = now
    if barred:
        LiveRun.objects.give_to_bars(
            list(matching(request.environment, request.filter).values_list("pk", flat=True))
        )
    hit = LiveRun.objects.cancel(cancellation=cancellation, scope=request.filter)
    if request.shown is not None:
        request.shown.check([pk for pk, *_ in hit.moved])  # which rolls back
    testpoint("cancel.moved")
    write_receipt(cancellation, hit)
    _store(cancellation, request)
    return cancellation


def _place_bar(request: CancelRequest) -> Cancellation:
    """A cancellation of any size: its row is in force at its commit, behind the exclusive gate. What is in flight
    is read after that, when nothing can start any more."""
    shown = request.shown
    if shown is not None and not shown.covers(trees_to_hit(request.environment, request.filter)):
        raise shown.outgrown
    cancellation = _place_alone(request)
    testpoint("bar.placed")
    list_in_flight(cancellation)
    return cancellation


@retried
def _place_alone(request: CancelRequest) -> Cancellation:
    with gate(environment_id=request.environment.pk, exclusive=True) as (now, *_):
        return place_bar(request, now=now)


def place_bar(request: CancelRequest, *, now: datetime) -> Cancellation:
    """The bar alone, inside a transaction behind the exclusive gate; after its commit, `complete` names what is in
    flight on its receipt."""
    latest = Run.objects.newest_pk()
    scope = replace(request.filter, up_to=min(latest, request.filter.up_to or latest))
    cancellation = requested(request, scope, now=now)
    cancellation.bar, cancellation.as_of_run = scope.lasting_bar, scope.up_to
    cancellation.counted, cancellation.in_flight = False, None
    cancellation.swept_at = cancellation.archived_at = None
    _store(cancellation, request)
    return cancellation


def carry_out_any_size(request: CancelRequest, *, now: datetime, barred: bool) -> Cancellation:
    """The cancel inside a transaction behind the exclusive gate, whatever it matches; its commit is in force. The
    caller then completes the receipt with `complete`."""
    if must_be_bar(fetch(counts(request.filter, environment_id=request.environment.pk))):
        return place_bar(request, now=now)
    return carry_out(request, now=now, barred=barred)


def complete(cancellation: Cancellation) -> None:
    """After the commit: a bar's receipt names what is in flight. Nothing to do for others."""
    if cancellation.in_flight is None:
        list_in_flight(cancellation)


def _store(cancellation: Cancellation, request: CancelRequest) -> None:
    """Writes it, with the times that count from `as_of`; one that was stored before is locked."""
    if request.hold_for is not None:
        cancellation.hold_until = cancellation.as_of + request.hold_for
    if request.undo_for is not None:
        cancellation.undo_until = cancellation.as_of + request.undo_for
    if cancellation._state.adding:
        insert([cancellation])
        audit_of_runs(
            "runs.cancelled", of=f"cancellation/{cancellation.pk}", by=cancellation.actor,
            environment_id=cancellation.environment_id,
            after={"filter": cancellation.filter, "reason": cancellation.reason or None},
        )  # fmt: skip
    else:
        cancellation.save()


class NotWaiting(Exception):
    """A cancellation stored for later has been carried out, or undone, meanwhile."""


def requested(request: CancelRequest, scope: CancellationFilter, *, now: datetime) -> Cancellation:
    """The record of the request, with its idempotency key taken; one stored before is locked and brought up to
    date. NotWaiting when there is nothing to carry out any more."""
    if scope.is_empty:
        raise AssertionError("a filter that narrows nothing came past the edges")
    cancellation = _waiting(request.stored) if request.stored is not None else _new(request, now=now)
    cancellation.filter, cancellation.as_of = scope.as_json(), now
    if request.hold_for is not None:
        cancellation.bar = scope.bar
    return cancellation


def _waiting(pk: UUID) -> Cancellation:
    waiting = Cancellation.objects.filter(pk=pk, scheduled__isnull=False, undone_at=None)
    if (stored := waiting.select_for_update().first()) is None:
        raise NotWaiting
    stored.scheduled = stored.archived_at = None
    return stored


def _new(request: CancelRequest, *, now: datetime) -> Cancellation:
    cancellation = Cancellation(
        environment=request.environment, actor=request.actor, origin=request.origin, reason=request.reason,
        request_id=request.request_id,
    )  # fmt: skip
    cancellation.take_key(
        request.idempotency_key, fingerprint=request.fingerprint, now=now, until=now + request.key_kept,
        held_as=request.held_key, environment=request.environment,
    )  # fmt: skip
    return cancellation


def check_reason(reason: str) -> None:
    """Refusal for one that is too long to be kept."""
    if len(reason) > LONGEST_REASON:
        raise Refusal.at("/reason", "too_long", f"a reason may have at most {LONGEST_REASON} characters")


def matching(environment: Environment, scope: CancellationFilter) -> Any:
    """The unfinished runs that the filter matches now, by their rows."""
    return LiveRun.objects.within(environment.pk).filter(scope.condition(), state__in=scope.states)


def still_to_hit(environment: Environment, scope: CancellationFilter) -> Any:
    """Those of them that a cancel would call off: no bar has done so."""
    bars = list(standing(environment=environment))
    return spared(matching(environment, scope), bars=bars, environment=environment)


def trees_to_hit(environment: Environment, scope: CancellationFilter) -> list[Any]:
    """The same, and what is beneath them without those that are among them: each kind found in a way of its own, since
    for one OR, or a list, of both all unfinished runs would be read."""
    bars = list(standing(environment=environment))
    matched = matching(environment, scope)
    runs = spared(matched, bars=bars, environment=environment)
    if not has_children(environment):
        return [runs]
    below = LiveRun.objects.within(environment.pk).filter(below_one_of(matched), state__in=UNFINISHED)
    below = below.exclude(scope.condition(), state__in=scope.states)
    return [runs, spared(below, bars=bars, environment=environment)]


def unfinished_with_label(*, environment: Environment, token: str, most: int = 10_001) -> int:
    """How many unfinished runs a cancel by this token would hit now, counted up to `most`."""
    return int(still_to_hit(environment, CancellationFilter(token=token))[:most].count())


def resolved(request: CancelRequest) -> CancelRequest:
    """What the filter names looked up. Ids that are unknown here match nothing; an unknown automation is refused,
    and a filter that cannot hold what it is to hold."""
    if request.hold_for and (name := what_cannot_hold(request.filter)) is not None:
        message = f"“{name}” matches no run accepted later, so it cannot stand beside “hold_for”"
        raise Refusal.at(f"/filter/{name}", "cannot_hold", message)
    scope = request.filter
    found: dict[str, Any] = {**keys_named(scope, environment_id=request.environment.pk)}
    if scope.automation is not None and scope.automation_id is None:
        automation = Automation.objects.within(request.environment).filter(key=scope.automation).first()
        if automation is None:
            message = f"there is no automation “{scope.automation[:100]}”"
            raise Refusal.at("/filter/automation", "automation_not_found", message)
        found["automation_id"] = automation.pk
    return replace(request, filter=replace(scope, **found)) if found else request


def _earlier(request: CancelRequest) -> Cancellation | None:
    """The cancellation that holds the request's idempotency key, its receipt whole."""
    earlier = Cancellation.earlier(
        key=request.held_key, fingerprint=request.fingerprint, environment=request.environment
    )
    if earlier is not None:
        complete(earlier)  # in case whoever placed this bar has died since
    return earlier
