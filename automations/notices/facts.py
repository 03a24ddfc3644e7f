"""Composes what an endpoint is told: the facts of a run that ended, and of the cancellation that ended it.

They are facts of the past, so every attempt at a delivery sends the same bytes, and none are stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from automations.models import HELD, TEST_EVENT, Cancellation, Run, WebhookDelivery

_RUN = (
    "uid", "source", "recipient", "token", "key", "status_reason", "has_errors", "created_at", "finished_at",
    "cancellation_id", "environment__key", "invocation__uid", "automation__key", "version__number",
)  # fmt: skip


def bodies(deliveries: Sequence[WebhookDelivery]) -> dict[UUID, bytes]:
    """The body of each delivery, by its id, in at most two statements; none for a run that is gone."""
    runs = {
        run.pk: run
        for run in Run.objects.filter(pk__in=[one.run_id for one in deliveries if one.run_id])
        .select_related("environment", "invocation", "automation", "version")
        .only(*_RUN)
    }
    names = {one.cancellation_id for one in deliveries if one.cancellation_id}
    cancellations = Cancellation.objects.in_bulk(names) if names else {}
    in_flight = {pk: _in_flight_by_run(cancellation) for pk, cancellation in cancellations.items()}
    composed = {}
    for one in deliveries:
        data: dict[str, Any] = {"endpoint": str(one.endpoint_id)}
        if one.event != TEST_EVENT:
            if (run := runs.get(one.run_id or 0)) is None:
                continue
            cancellation = cancellations.get(one.cancellation_id) if one.cancellation_id else None
            data = {"environment": run.environment.key, "run": _run(run, one, cancellation)}
            data["cancellation"] = None
            if cancellation is not None:
                listed = in_flight[cancellation.pk].get(str(run.uid), [])
                data["cancellation"] = {**_cancellation(cancellation), "in_flight": listed}
        document = {"type": one.event, "timestamp": _stamp(one.at), "data": data}
        composed[one.pk] = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return composed


def _run(run: Run, delivery: WebhookDelivery, cancellation: Cancellation | None) -> dict[str, Any]:
    """The run as it ended; a cancelled one may have been restored since."""
    reason, finished_at = run.status_reason, run.finished_at
    if cancellation is not None:
        held = cancellation.hold_until is not None and run.created_at > cancellation.as_of
        finished_at = delivery.at if held else cancellation.as_of
        if run.cancellation_id != cancellation.pk:
            reason = HELD if held else cancellation.status_reason
    return {
        "id": str(run.uid),
        "invocation": str(run.invocation.uid),
        "automation": run.automation.key if run.automation else None,
        "version": run.version.number if run.version else None,
        "source": run.source,
        "recipient": run.recipient,
        "cancellation_token": run.token,
        "cancellation_key": run.key,
        "status": delivery.event.partition(".")[2],
        "status_reason": reason or None,
        "has_errors": run.has_errors,
        "created_at": _stamp(run.created_at),
        "finished_at": _stamp(finished_at or delivery.at),
    }


def _cancellation(cancellation: Cancellation) -> dict[str, Any]:
    """What its receipt says, but for the other runs."""
    return {
        "id": str(cancellation.pk),
        "as_of": _stamp(cancellation.as_of),
        "actor": cancellation.actor,
        "origin": cancellation.origin,
        "reason": cancellation.reason or None,
    }


def _in_flight_by_run(cancellation: Cancellation) -> Mapping[str, list[dict[str, Any]]]:
    """The receipt's steps in flight, by the public id of their run."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for entry in cancellation.in_flight or ():
        shown = {name: entry[name] for name in ("step", "action", "attempt")}
        shown["started_at"] = _stamp(datetime.fromisoformat(entry["started_at"]))
        entries.setdefault(entry["run"], []).append(shown)
    return entries


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
