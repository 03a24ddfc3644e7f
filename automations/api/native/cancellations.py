"""Cancellations over the native API: many runs called off at once, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from automations import cancellation, scheduled
from automations.api import idempotency, paging
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.errors import request_id
from automations.api.native.receipts import (
    WAIT,
    asked_of,
    followed_receipt,
    receipt,
    receipts,
    rehearsed,
    settled_within,
    wait_of,
)
from automations.api.reading import UUID_PATTERN, Body, Query
from automations.api.schemas import (
    DURATION,
    FLAG,
    TIME,
    UID,
    Schema,
    either,
    listed,
    prose,
    ref,
    request_of,
    text,
)
from automations.cancellation import CancelRequest, Shown
from automations.definition import LONGEST_HOLD, LONGEST_TAG, parse_moment
from automations.models import Cancellation, CancellationFilter, Environment, No, Origin, Refusal
from automations.rehearsal import check_age, planned, rehearse

MOST_RUN_IDS = 10_000
MOST_RECIPIENTS, MOST_TAGS = 1_000, 20
LONGEST_UNDO = 600.0  # seconds
LONGEST_PLAN = 1_000_000
LISTS = ("run_ids", "recipients", "tags")
# Each of them may mean more runs than the caller had in mind, so the request as a whole is no request.
MALFORMED = frozenset({"unknown_field", "empty_filter", "empty_list", "not_confirmed", "ambiguous"})

ALL = {"all": {"const": True}, "confirm": {**text(100), "description": "The environment's key."}}
FILTER: Mapping[str, Schema] = {
    "token": text(512),
    "key": text(255),
    "automation": text(100),
    "invocation": UID,
    "run_ids": listed(UID, MOST_RUN_IDS, least=1),
    "recipients": listed(text(255), MOST_RECIPIENTS, least=1),
    "idempotency_key": text(255),
    "source": text(255),
    "tags": listed(text(LONGEST_TAG), MOST_TAGS, least=1),
    **dict.fromkeys(("created_before", "created_after", "due_before", "due_after"), TIME),
}
_ASKED = request_of(
    maybe={
        "filter": either({**request_of(maybe=FILTER), "minProperties": 1}, request_of(ALL)),
        **ALL,
        "reason": prose(cancellation.LONGEST_REASON),
        "dry_run": FLAG,
        "plan": {**prose(LONGEST_PLAN), "description": "The `plan` of a dry run, in place of its filter."},
        "hold_for": DURATION,
        "undo_for": DURATION,
        "at": {**TIME, "description": "ISO 8601 with a zone."},
    }
)
CANCEL = {**_ASKED, "anyOf": [{"required": [name]} for name in ("filter", "all", "plan")]}


class Cancellations(Endpoint):
    """`/api/v1/cancellations`."""

    get_scope = "read"
    post_scope = "cancel"

    @described("list_cancellations", {200: paging.page_of("Receipt")}, query=paging.PAGED)
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

    @described(
        "cancel",
        {200: either(ref("Receipt"), ref("DryRun"))},
        query=WAIT,
        body=CANCEL,
        repeatable=True,
    )
    def post(self, request: Request) -> Response:
        """Calls off what the filter matches; when this answers, no further step of those runs starts."""
        wait = wait_of(request)
        raw = self.body()
        key = idempotency.key_of(request)
        body = Body(raw)
        plan = body.text("plan", longest=LONGEST_PLAN)
        scope, shown = self._planned(body, plan) if plan else (_filter(body, self.environment), None)
        reason = body.text("reason", longest=cancellation.LONGEST_REASON)
        hold_for = body.seconds("hold_for", None, most=LONGEST_HOLD.total_seconds())
        is_rehearsal = body.flag("dry_run")
        undo_for = body.seconds("undo_for", None, most=LONGEST_UNDO)
        at = _when(body, has_plan=plan is not None)
        body.finish(malformed=MALFORMED)
        asked = CancelRequest(
            environment=self.environment,
            filter=scope,
            actor=self.actor,
            origin=Origin.API,
            reason=reason or "",
            request_id=request_id(request),
            idempotency_key=None if is_rehearsal else key,
            fingerprint=idempotency.fingerprint(address="cancellations", body=raw) if key else None,
            shown=shown,
            hold_for=hold_for,
            undo_for=undo_for,
        )
        if is_rehearsal:
            if at is not None:
                scheduled.check_moment(at)
            if plan:
                check_age(plan)
            return Response(rehearsed(rehearse(asked), request=asked))
        done, replayed = _carry_out(asked, plan, at)
        settled = settled_within(done, seconds=wait)
        response = Response(receipt(done, settled=settled))
        if replayed:
            response["Idempotent-Replayed"] = "true"
        return response

    def _planned(self, body: Body, plan: str) -> tuple[CancellationFilter, Shown]:
        """What a dry run has shown; a filter beside the plan must be the one it was made for."""
        scope, shown = planned(plan, environment=self.environment)
        if "filter" in body.value or "all" in body.value:
            asked = _filter(body, self.environment)
            if asked_of(asked.as_json()) != asked_of(scope.as_json()):
                body.refuse("plan", "plan_differs", "the plan was made for another filter")
        return scope, shown


class OneCancellation(Endpoint):
    """`/api/v1/cancellations/{id}`."""

    get_scope = "read"

    @described("get_cancellation", {200: "FollowedReceipt"})
    def get(self, request: Request, uid: str) -> Response:
        """The receipt, with what became of the steps that were in flight."""
        return Response(followed_receipt(find_cancellation(self.environment, UUID(uid))))


def find_cancellation(environment: Environment, uid: UUID) -> Cancellation:
    """The environment's cancellation of that id. Refusal (NOT_FOUND)."""
    row = Cancellation.objects.filter(environment=environment, pk=uid).first()
    if row is None:
        raise Refusal(No.NOT_FOUND, "cancellation_not_found", f"there is no cancellation {uid}")
    return row


def _carry_out(asked: CancelRequest, plan: str | None, at: datetime | None) -> tuple[Cancellation, bool]:
    """The cancellation, now or for later, and whether it is a replay: one that is does not grow too old."""
    if at is not None:
        return scheduled.schedule(asked, at=at)

    def store(asked: CancelRequest) -> Cancellation:
        if plan:
            check_age(plan)
        return cancellation.carry_out_now(asked)

    return cancellation.once(asked, store)


def _when(body: Body, *, has_plan: bool) -> datetime | None:
    """The time for which the cancel is asked. A zone is required: an hour's error would call off other runs."""
    text = body.label("at", longest=100)
    if text is None:
        return None
    if has_plan:
        body.refuse("at", "ambiguous", "a plan is for what there is now, and “at” for what there will be")
        return None
    try:
        moment = parse_moment(text)
    except ValueError as error:
        body.refuse("at", "invalid_moment", str(error))
        return None
    if not _ZONED.search(text.strip()):
        body.refuse("at", "zone_required", "“at” needs a zone, such as 2026-11-20T14:00:00Z")
    return moment


# Of ISO 8601: a time, and behind it Z or an offset.
_ZONED = re.compile(r"[T ]\S*(?:[Zz]|[+-]\d\d(?::?\d\d){0,2}(?:\.\d+)?)$", re.ASCII)


def _filter(body: Body, environment: Environment) -> CancellationFilter:
    """The runs meant. Null members are absent; what is then empty is refused and never means all runs."""
    if body.flag("all"):  # in place of the filter
        if "filter" in body.value:
            body.refuse("all", "ambiguous", "either a filter or “all”, not both")
        return _everything(body, environment)
    members = body.members("filter")
    if members is None:
        if not body.notes.problems:
            body.refuse("filter", "empty_filter", "“filter” must name the runs to cancel")
        return CancellationFilter()
    if members.flag("all"):
        scope = _everything(members, environment)
        members.close()
        return scope
    if not members.value:
        body.refuse("filter", "empty_filter", "at least one filter is required")
    scope = _fields(members)
    members.close()
    return scope


def _fields(members: Body) -> CancellationFilter:
    for name in LISTS:
        if members.value.get(name) == []:
            members.refuse(name, "empty_list", f"“{name}” may not be an empty list")
    invocation = members.label("invocation", longest=36)
    if invocation is not None and not re.fullmatch(UUID_PATTERN, invocation):
        members.refuse("invocation", "invalid", "an invocation's id is a UUID")
        invocation = None
    return CancellationFilter(
        token=members.label("token", longest=512),
        key=members.label("key", longest=255),
        run_ids=_run_ids(members),
        recipients=tuple(members.labels("recipients", most=MOST_RECIPIENTS, longest=255)),
        automation=members.label("automation", longest=100),
        invocation=UUID(invocation) if invocation else None,
        idempotency_key=members.label("idempotency_key", longest=255),
        source=members.label("source", longest=255),
        tags=tuple(members.labels("tags", most=MOST_TAGS, longest=LONGEST_TAG)),
        created_after=members.moment("created_after"),
        created_before=members.moment("created_before"),
        due_after=members.moment("due_after"),
        due_before=members.moment("due_before"),
    )


def _everything(members: Body, environment: Environment) -> CancellationFilter:
    """All runs of the environment, whose key must be given to confirm that."""
    if members.label("confirm", longest=100) != environment.key:
        message = f"to cancel all runs, give “confirm”: “{environment.key}”"
        members.refuse("confirm", "not_confirmed", message)
    return CancellationFilter(everything=True)


def _run_ids(members: Body) -> tuple[UUID, ...]:
    entries = members.entries("run_ids", most=MOST_RUN_IDS)
    below = Body({}, f"{members.pointer}/run_ids", members.notes)
    ids = []
    for index, entry in enumerate(entries):
        if isinstance(entry, str) and re.fullmatch(UUID_PATTERN, entry):
            ids.append(UUID(entry))
        else:
            below.refuse(str(index), "invalid", "a run id is a UUID")
    return tuple(ids)
