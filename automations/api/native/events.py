"""Events over the native API: what happened in the caller's world, and which runs that called off."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from automations import occurrence as verb
from automations.api import idempotency, paging
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.errors import request_id
from automations.api.moments import stamp
from automations.api.native.receipts import receipts
from automations.api.reading import UUID_PATTERN, Body, Query
from automations.api.schemas import OBJECT, request_of, text
from automations.definition import EVENT_LENGTH
from automations.models import Cancellation, No, Occurrence, Refusal
from automations.occurrence import ReportRequest


class Events(Endpoint):
    """`/api/v1/events`."""

    get_scope = "read"
    post_scope = "cancel"

    @described("list_events", {200: paging.page_of("EventSummary")}, query=paging.PAGED)
    def get(self, request: Request) -> Response:
        """Every event of the last 30 days, also those that matched nothing; without data and receipts."""
        query = Query(request.query_params)
        page = paging.asked(query, pattern=UUID_PATTERN)
        query.finish()
        rows = Occurrence.objects.filter(environment=self.environment).order_by("-pk").defer("data")
        if page.after is not None:
            rows = rows.filter(pk__lt=UUID(page.after))
        shown, cursor = page.cut(rows[: page.fetch], lambda row: row.pk)
        return Response({"items": [_summary(row) for row in shown], "next_cursor": cursor})

    @described(
        "report_event",
        {200: "Event"},
        body=request_of({"name": text(EVENT_LENGTH)}, {"data": OBJECT, "recipient": text(255)}),
        repeatable=True,
    )
    def post(self, request: Request) -> Response:
        """Takes note of what happened; when this answers, no further step of the runs it cancels starts."""
        raw = self.body()
        key = idempotency.key_of(request)
        body = Body(raw)
        name = body.label("name", longest=EVENT_LENGTH, required=True)
        data = body.document("data")
        recipient = body.label("recipient", longest=255)
        body.finish()
        occurrence, replayed = verb.report(
            ReportRequest(
                environment=self.environment,
                name=name or "",
                actor=self.actor,
                data=data,
                recipient=recipient,
                request_id=request_id(request),
                idempotency_key=key,
                fingerprint=idempotency.fingerprint(address="events", body=raw) if key else None,
            )
        )
        response = Response(_whole(occurrence))
        if replayed:
            response["Idempotent-Replayed"] = "true"
        return response


class OneEvent(Endpoint):
    """`/api/v1/events/{id}`."""

    get_scope = "read"

    @described("get_event", {200: "EventWithData"})
    def get(self, request: Request, uid: str) -> Response:
        """The event as it was answered, with what it brought along."""
        row = Occurrence.objects.filter(environment=self.environment, pk=UUID(uid)).first()
        if row is None:
            raise Refusal(No.NOT_FOUND, "event_not_found", f"there is no event {uid}")
        return Response({**_whole(row), "data": row.data})


def _summary(occurrence: Occurrence) -> dict[str, Any]:
    return {
        "id": str(occurrence.pk),
        "name": occurrence.name,
        "recipient": occurrence.recipient,
        "actor": occurrence.actor,
        "accepted_at": stamp(occurrence.accepted_at),
        "cancelled": occurrence.cancelled,
        "failed": occurrence.failed,
    }


def _whole(occurrence: Occurrence) -> dict[str, Any]:
    """With the receipts of its cancellations, and the rules that could not be asked."""
    made = Cancellation.objects.in_bulk(map(UUID, occurrence.cancellations))
    rows = [made[UUID(one)] for one in occurrence.cancellations if UUID(one) in made]
    return {**_summary(occurrence), "cancellations": receipts(rows), "failures": occurrence.failures}
