"""Accepts an event: places it in the order of things, has the rules judged, and calls off what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from automations import cancellation
from automations.cancellation import CancelRequest
from automations.models import (
    CancellationFilter,
    Environment,
    Listener,
    No,
    Occurrence,
    Origin,
    Refusal,
    Run,
    clock,
    gate,
    insert,
    is_restoring,
    retried,
)
from automations.occurrence.judgement import Judgement, judge
from automations.testpoints import testpoint

KEY_KEPT = timedelta(hours=24)
CALLED_OFF_AT_ONCE = 1_000
FAILURES_LISTED = 100


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """What happened, as a caller tells it; with a `recipient` it concerns that recipient's runs alone."""

    environment: Environment
    name: str
    actor: str
    data: Mapping[str, Any] = field(default_factory=dict)
    recipient: str | None = None
    request_id: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Runs that one transaction calls off, for one reason."""

    reason: str
    runs: list[tuple[int, UUID]]


def report(request: ReportRequest) -> tuple[Occurrence, bool]:
    """The event as accepted, and whether it had been before: all runs that it cancels are when this returns.

    It concerns runs accepted before it, never later ones. Refusal when it cannot be judged: then nothing was
    changed. A repetition of one whose answer was never given, because a process died, completes it.
    """
    if (earlier := _earlier(request)) is not None:
        return _completed(earlier), True
    occurrence = _placed(request)
    try:
        return _carry_out(occurrence, _judged(occurrence), request=request), False
    except IntegrityError:
        if (earlier := _earlier(request)) is None:  # not the idempotency key's constraint
            raise
        return _completed(earlier), True


def _earlier(request: ReportRequest) -> Occurrence | None:
    return Occurrence.earlier(
        key=request.idempotency_key, fingerprint=request.fingerprint, environment=request.environment
    )


def _completed(occurrence: Occurrence) -> Occurrence:
    """Carries on from where another process ended, or still is; the guards let each run be moved once."""
    if occurrence.answered_at is not None:
        return occurrence
    return _carry_out(occurrence, _judged(occurrence), request=None)


def _placed(request: ReportRequest) -> Occurrence:
    """The event at its place among the invokes, not stored yet."""
    heard = Listener.objects.filter(environment=request.environment, event=request.name).exists()
    now, newest = _place(environment_id=request.environment.pk) if heard else (clock(), 0)
    testpoint("event.placed")
    return Occurrence(
        environment=request.environment, name=request.name, data=dict(request.data),
        recipient=request.recipient, actor=request.actor, request_id=request.request_id, accepted_at=now,
        as_of_run=newest,
    )  # fmt: skip


@retried
def _place(*, environment_id: int) -> tuple[datetime, int]:
    """A moment at which no invoke is half-way, and the newest run: a run up to it is committed, hence read by
    what follows, and a later one was accepted later. Behind the exclusive gate, which is held for no longer."""
    with gate(environment_id=environment_id, exclusive=True) as (now, *_):
        _refuse_while_restoring(environment_id)
        return now, Run.objects.newest_pk()


def _refuse_while_restoring(environment_id: int) -> None:
    """Refusal while an undo brings archived runs back: what is not there yet would go on in spite of the event."""
    if is_restoring(environment_id):
        message = "an undo is bringing runs back, perhaps some of this event's; send it again"
        raise Refusal(No.UNAVAILABLE, "restoring", message)


def _judged(occurrence: Occurrence) -> Judgement:
    if not occurrence.as_of_run:  # nobody listens
        return Judgement(listed=0)
    return judge(occurrence, listed=FAILURES_LISTED)


def _carry_out(occurrence: Occurrence, judgement: Judgement, *, request: ReportRequest | None) -> Occurrence:
    """Calls off chunk by chunk; the first transaction stores a new event (`request`), the last one answers it."""
    chunks: list[Chunk | None] = [*_chunks(judgement)] or [None]
    for index, chunk in enumerate(chunks):
        last = judgement if index == len(chunks) - 1 else None
        occurrence = _write(occurrence, chunk, new=request if index == 0 else None, last=last)
        testpoint("event.moved")
    return occurrence


def _chunks(judgement: Judgement) -> Iterator[Chunk]:
    for (_, reason), runs in judgement.condemned.items():
        for start in range(0, len(runs), CALLED_OFF_AT_ONCE):
            yield Chunk(reason=reason, runs=runs[start : start + CALLED_OFF_AT_ONCE])


@retried
def _write(
    occurrence: Occurrence, chunk: Chunk | None, *, new: ReportRequest | None, last: Judgement | None
) -> Occurrence:
    """One transaction: the runs of the chunk are called off, and the event says so."""
    with gate(environment_id=occurrence.environment_id) as (now, *_):
        if new is None:  # whoever else carries on with it waits here
            written = Occurrence.objects.select_for_update().get(pk=occurrence.pk)
        else:
            written = copy(occurrence)
            written.take_key(
                new.idempotency_key, fingerprint=new.fingerprint, now=now, until=now + KEY_KEPT,
                environment=new.environment,
            )  # fmt: skip
        if chunk is not None:
            _refuse_while_restoring(occurrence.environment_id)
            done = cancellation.carry_out(_request(written, chunk), now=now)
            written.cancellations = [*written.cancellations, str(done.pk)]
            written.cancelled += done.cancelled or 0
        if last is not None:
            written.failures, written.failed, written.answered_at = last.failures, last.failed, now
        if new is None:
            written.save()
        else:
            insert([written])
    return written


def _request(occurrence: Occurrence, chunk: Chunk) -> CancelRequest:
    pks, uids = zip(*chunk.runs, strict=True)
    return CancelRequest(
        environment=occurrence.environment,
        filter=CancellationFilter(run_ids=uids, run_pks=pks),
        actor=f"event {occurrence.name}",
        origin=Origin.RULE,
        reason=chunk.reason,
        request_id=occurrence.request_id,
    )
