"""What a cancellation says of itself: the receipt as acknowledged, and what became of what was in flight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework.request import Request

from automations.api.limits import place_to_wait
from automations.api.moments import stamp
from automations.api.reading import Query
from automations.api.schemas import Schema
from automations.cancellation import CancelRequest, all_outstanding, outstanding, wait_until_settled
from automations.models import Cancellation, Event
from automations.rehearsal import Rehearsal
from automations.timeline import ENDS, outcome_of

LONGEST_WAIT = 30
WAIT: Mapping[str, Schema] = {
    "wait": {
        "type": "number",
        "minimum": 0,
        "maximum": LONGEST_WAIT,
        "description": "Seconds to hold the answer back for steps in flight; not at all while many wait so.",
    }
}


def wait_of(request: Request) -> float:
    """The seconds that `?wait=` asks the answer to be held back for steps in flight. Refusal (MALFORMED)."""
    query = Query(request.query_params)
    wait = query.number("wait", 0, least=0, most=LONGEST_WAIT)
    query.finish()
    return wait


def settled_within(cancellation: Cancellation, *, seconds: float) -> bool:
    """Waits for the receipt's steps in flight to end, at most so long, and not at all while as many wait already as
    may; whether all have ended."""
    if wait_until_settled(cancellation, seconds=0):
        return True
    with place_to_wait() as has_place:
        return seconds > 0 and has_place and wait_until_settled(cancellation, seconds=seconds)


def receipt(cancellation: Cancellation, *, settled: bool) -> dict[str, Any]:
    """The receipt; `settled` says whether every step listed in flight is known to have ended."""
    return {
        "id": str(cancellation.pk),
        "as_of": stamp(cancellation.as_of) if cancellation.is_carried_out else None,
        "actor": cancellation.actor,
        "reason": cancellation.reason or None,
        "filter": asked_of(cancellation.filter),
        "matched": cancellation.matched,
        "cancelled": cancellation.cancelled,
        "cancelled_run_ids": cancellation.cancelled_run_ids,
        "already_finished": cancellation.already_finished,
        "in_flight": in_flight(cancellation.in_flight or ()),
        "settled": settled and cancellation.is_carried_out,
        "counted": cancellation.counted,
        "dry_run": False,
        **_also(cancellation),
    }


def _also(cancellation: Cancellation) -> dict[str, Any]:
    """What only some receipts have: the time it was asked for, until when whoever may cancel may undo it, and that
    it was undone."""
    moments = {"at": cancellation.at, "undo_until": cancellation.undo_until}
    also: dict[str, Any] = {name: stamp(moment) for name, moment in moments.items() if moment is not None}
    if cancellation.undone_at is not None:
        also["undone"] = {
            "at": stamp(cancellation.undone_at),
            "actor": cancellation.undone_by,
            "restored": cancellation.restored if cancellation.restored_at is not None else None,
            "overdue": cancellation.overdue,
        }
    return also


ASKED = (
    "token", "key", "run_ids", "recipients", "automation", "invocation", "idempotency_key", "source", "tenant",
    "tags", "created_before", "created_after", "due_before", "due_after",
)  # fmt: skip


def asked_of(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored filter in the words of the request."""
    if stored.get("everything"):
        return {"all": True}
    moments = {name: stamp(datetime.fromisoformat(stored[name])) for name in ASKED[-4:] if name in stored}
    return {name: stored[name] for name in ASKED if name in stored} | moments


def rehearsed(rehearsal: Rehearsal, *, request: CancelRequest) -> dict[str, Any]:
    """The receipt that the request would get, with what a dry run adds to it."""
    finished, steps = rehearsal.already_finished(), rehearsal.steps_in_flight()
    return {
        "id": None,
        "as_of": stamp(rehearsal.as_of),
        "actor": request.actor,
        "reason": request.reason or None,
        "filter": asked_of(rehearsal.scope.as_json()),
        "matched": None if finished is None else rehearsal.cancelled + finished,
        "cancelled": rehearsal.cancelled,
        "cancelled_run_ids": [],
        "already_finished": finished,
        "in_flight": in_flight(steps),
        "settled": not steps,
        "counted": finished is not None,
        "dry_run": True,
        "plan": rehearsal.plan,
        "by_automation": [{"automation": key, "runs": count} for key, count in rehearsal.by_automation],
        "by_status": dict(rehearsal.by_status),
        "sample": [
            {
                "id": str(run.uid), "automation": run.automation.key if run.automation else None,
                "recipient": run.recipient, "cancellation_token": run.token, "cancellation_key": run.key,
                "status": run.public_status, "due_at": stamp(run.due_at),
            }
            for run in rehearsal.sample
        ],
    }  # fmt: skip


def receipts(cancellations: Sequence[Cancellation]) -> list[dict[str, Any]]:
    """Their receipts; one statement tells which of them have settled."""
    unarchived = [row for row in cancellations if row.archived_at is None or row.undone_at is not None]
    left = all_outstanding(unarchived)
    # A bar whose steps in flight are not listed yet is not known to have settled.
    return [receipt(row, settled=row.in_flight is not None and not left.get(row.pk)) for row in cancellations]


def followed_receipt(cancellation: Cancellation) -> dict[str, Any]:
    """The receipt with, for every step that was in flight, its `outcome`: null while that is not known; and for one
    that holds, until when, and how many runs accepted later it has had so far."""
    left = {(entry["run"], entry["fence"]) for entry in outstanding(cancellation)}
    known = _outcomes(cancellation)
    answer = receipt(cancellation, settled=not left)
    if cancellation.hold_until is not None:
        answer["hold"] = {"until": stamp(cancellation.hold_until), "held": cancellation.held().count()}
    for shown, entry in zip(answer["in_flight"], cancellation.in_flight or (), strict=True):
        attempt = (entry["run"], entry["fence"])
        # What ended without leaving an event never had an effect: the run was called off before it.
        shown["outcome"] = None if attempt in left else known.get(attempt, "aborted")
    return answer


def in_flight(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Steps that had started and are not known to have ended, as they are answered."""
    return [_entry(entry) for entry in entries]


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    started_at = stamp(datetime.fromisoformat(entry["started_at"]))
    return {
        "run": entry["run"], "step": entry["step"], "action": entry["action"], "attempt": entry["attempt"],
        "started_at": started_at,
    }  # fmt: skip


def _outcomes(cancellation: Cancellation) -> dict[tuple[str, int | None], str]:
    """By run and fence, what the log says became of attempts at those runs' steps. Not by when: their events are as
    old as the clock that their transactions took, which may have waited for the cancel's."""
    uids = {UUID(entry["run"]) for entry in cancellation.in_flight or ()}
    if not uids:
        return {}
    events = Event.objects.filter(run__uid__in=uids, kind__in=ENDS)
    return {
        (str(uid), data.get("fence")): outcome_of(kind, data)
        for uid, kind, data in events.order_by("pk").values_list("run__uid", "kind", "data")
    }
