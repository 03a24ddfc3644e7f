"""Cancellations over the native API: many runs called off at once, and what came of it."""

from __future__ import annotations

import re
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from automations import cancellation
from automations.api import idempotency, paging
from automations.api.endpoint import Endpoint
from automations.api.errors import request_id
from automations.api.native.receipts import followed_receipt, receipt, receipts, wait_of
from automations.api.reading import UUID_PATTERN, Body, Query
from automations.cancellation import CancelRequest
from automations.models import Cancellation, CancellationFilter, Environment, No, Origin, Refusal

MOST_RUN_IDS = 10_000
LATER_SETTINGS = frozenset({"all", "confirm", "dry_run", "plan", "hold_for", "undo_for", "at"})
LATER_FILTERS = frozenset({
    "recipients", "automation", "invocation", "idempotency_key", "source", "tags", "created_before",
    "created_after", "due_before", "due_after",
})  # fmt: skip
# Each of them may mean more runs than the caller had in mind, so the request as a whole is no request.
MALFORMED = frozenset({"unknown_field", "empty_filter", "empty_list"})


class Cancellations(Endpoint):
    """`/api/v1/cancellations`."""

    get_scope = "read"
    post_scope = "cancel"

    def get(self, request: Request) -> Response:
        """Every request to cancel, also those that matched nothing."""
        query = Query(request.query_params)
        page = paging.asked(query, pattern=UUID_PATTERN)
        query.finish()
        rows = Cancellation.objects.filter(environment=self.environment).order_by("-pk")
        if page.after is not None:
            rows = rows.filter(pk__lt=UUID(page.after))
        shown, cursor = page.cut(rows[: page.fetch], lambda row: row.pk)
        return Response({"items": receipts(shown), "next_cursor": cursor})

    def post(self, request: Request) -> Response:
        """Calls off what the filter matches; when this answers, no further step of those runs starts."""
        wait = wait_of(request)
        raw = self.body()
        key = idempotency.key_of(request)
        body = Body(raw)
        scope = _filter(body)
        reason = body.text("reason", longest=cancellation.LONGEST_REASON)
        _pass_defaults(body)
        body.finish(later=LATER_SETTINGS, malformed=MALFORMED)
        done, replayed = cancellation.cancel(
            CancelRequest(
                environment=self.environment,
                filter=scope,
                actor=self.actor,
                origin=Origin.API,
                reason=reason or "",
                request_id=request_id(request),
                idempotency_key=key,
                fingerprint=idempotency.fingerprint(address="cancellations", body=raw) if key else None,
            )
        )
        settled = cancellation.wait_until_settled(done, seconds=wait)
        response = Response(receipt(done, settled=settled))
        if replayed:
            response["Idempotent-Replayed"] = "true"
        return response


class OneCancellation(Endpoint):
    """`/api/v1/cancellations/{id}`."""

    get_scope = "read"

    def get(self, request: Request, uid: str) -> Response:
        """The receipt, with what became of the steps that were in flight."""
        return Response(followed_receipt(find_cancellation(self.environment, UUID(uid))))


def find_cancellation(environment: Environment, uid: UUID) -> Cancellation:
    """The environment's cancellation of that id. Refusal (NOT_FOUND)."""
    row = Cancellation.objects.filter(environment=environment, pk=uid).first()
    if row is None:
        raise Refusal(No.NOT_FOUND, "cancellation_not_found", f"there is no cancellation {uid}")
    return row


def _filter(body: Body) -> CancellationFilter:
    """The runs meant. Null members are absent; what is then empty is refused and never means all runs."""
    members = body.members("filter")
    if members is None:
        if not body.notes.problems and body.value.get("all") is not True:
            body.refuse("filter", "empty_filter", "“filter” must name the runs to cancel")
        return CancellationFilter()
    if not members.value:
        body.refuse("filter", "empty_filter", "at least one filter is required")
    token = members.label("token", longest=512)
    key = members.label("key", longest=255)
    run_ids = _run_ids(members)
    for name in LATER_FILTERS & members.value.keys():
        if members.value[name] == []:
            members.take(name)
            members.refuse(name, "empty_list", f"“{name}” may not be an empty list")
    members.close(later=LATER_FILTERS)
    return CancellationFilter(token=token, key=key, run_ids=run_ids)


def _run_ids(members: Body) -> tuple[UUID, ...]:
    entries = members.entries("run_ids", most=MOST_RUN_IDS)
    if members.value.get("run_ids") == []:
        members.refuse("run_ids", "empty_list", "“run_ids” may not be an empty list")
    below = Body({}, f"{members.pointer}/run_ids", members.notes)
    ids = []
    for index, entry in enumerate(entries):
        if isinstance(entry, str) and re.fullmatch(UUID_PATTERN, entry):
            ids.append(UUID(entry))
        else:
            below.refuse(str(index), "invalid", "a run id is a UUID")
    return tuple(ids)


def _pass_defaults(body: Body) -> None:
    """Asking for what happens anyway is no request for what is not built yet."""
    for name in ("all", "dry_run"):
        if body.value.get(name) is False:
            body.take(name)
