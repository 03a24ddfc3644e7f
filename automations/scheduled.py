"""Cancels asked for a later time: stored at once, and carried out when that time has come."""

from __future__ import annotations

from datetime import datetime, timedelta

from automations import cancellation as cancelling
from automations.cancellation import CancelRequest, NotWaiting
from automations.definition import FURTHEST_UNTIL
from automations.models import (
    Cancellation,
    CancellationFilter,
    Environment,
    Origin,
    Refusal,
    database_now,
    gate,
    insert,
    retried,
)
from automations.testpoints import testpoint

AT_ONCE = 100


def schedule(request: CancelRequest, *, at: datetime) -> tuple[Cancellation, bool]:
    """The stored cancellation, which is carried out at that moment (UTC), once, and whether it is a replay of an
    earlier one. Which runs it hits is found out then; `undo_for` and `hold_for` count from then.

    Refusal as for a cancel, and for a moment that has passed or is more than five years ahead; a replay is none for
    that, whenever it comes.
    """

    def store(asked: CancelRequest) -> Cancellation:
        check_moment(at)
        return _store(asked, at=at)

    return cancelling.once(request, store)


def check_moment(at: datetime) -> None:
    """Refusal for a moment (UTC) for which no cancel can be asked."""
    now = database_now()
    if at <= now:
        raise Refusal.at("/at", "in_the_past", "“at” must lie ahead; leave it out to cancel now")
    if at - now > FURTHEST_UNTIL:
        raise Refusal.at("/at", "too_far", "“at” may be at most five years ahead")


@retried
def _store(request: CancelRequest, *, at: datetime) -> Cancellation:
    cancelling.resolved(request)  # which refuses what is unknown
    with gate(environment_id=request.environment.pk) as (now, *_):
        row = cancelling.requested(request, request.filter, now=now)
        row.at = row.as_of = at
        row.counted, row.undo_until = False, None
        row.swept_at = row.archived_at = now
        row.hold_until = row.bar = None
        lasting = {"undo_for": request.undo_for, "hold_for": request.hold_for}
        row.scheduled = {name: span.total_seconds() for name, span in lasting.items() if span is not None}
        insert([row])
    return row


def carry_out_due(environment: Environment, *, now: datetime) -> int:
    """Carries out what was asked for a time that has come, each once, however many do this; the number."""
    due = Cancellation.objects.filter(
        environment=environment, scheduled__isnull=False, undone_at=None, at__lte=now
    )
    done = 0
    for row in due.order_by("at", "pk")[:AT_ONCE]:
        testpoint("scheduled.read")
        try:
            cancelling.carry_out_now(_request(row, environment))
            done += 1
        except NotWaiting:  # somebody else was here first
            continue
    return done


def _request(row: Cancellation, environment: Environment) -> CancelRequest:
    lasting = {name: timedelta(seconds=given) for name, given in (row.scheduled or {}).items()}
    return CancelRequest(
        environment=environment,
        filter=CancellationFilter.from_json(row.filter),
        actor=row.actor,
        origin=Origin(row.origin),
        reason=row.reason,
        request_id=row.request_id,
        undo_for=lasting.get("undo_for"),
        hold_for=lasting.get("hold_for"),
        stored=row.pk,
    )
