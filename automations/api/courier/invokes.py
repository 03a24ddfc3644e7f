"""Runs steps brought along, or a published automation by its key or alias, as Courier's invoke calls do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from automations import execution
from automations.api import idempotency
from automations.api.authentication import demand_scopes_of
from automations.api.endpoint import Endpoint
from automations.api.reading import Body, is_one_line
from automations.definition import parse_moment
from automations.invocation import KEY_KEPT, InvokeRequest, Recipient
from automations.models import No, Refusal

LONGEST_ID = 255
LONGEST_KEPT = timedelta(days=366)
_EPOCH = re.compile(r"\d{1,11}(?:\.\d{1,9})?", re.ASCII)


class InvokeAdHoc(Endpoint):
    """`POST /automations/invoke`."""

    post_scope = "invoke"

    def post(self, request: Request) -> Response:
        """Runs the steps of the request; a cancel among the first of them has cancelled when this answers."""
        raw = self.body()
        automation = raw.get("automation")
        if not isinstance(automation, dict):
            raise Refusal.at("/automation", "required", "“automation” must be an object with “steps”")
        demand_scopes_of(automation, self.key)
        return _accept(self, raw, source="invoke", definition=automation)


class InvokeTemplate(Endpoint):
    """`POST /automations/{template_id}/invoke`; the id may be an alias."""

    post_scope = "invoke"

    def post(self, request: Request, template_id: str) -> Response:
        """Runs the published version."""
        raw = self.body()
        if len(template_id) > LONGEST_ID or not is_one_line(template_id):
            raise Refusal(No.NOT_FOUND, "automation_not_found", "there is no such automation")
        return _accept(self, raw, source=f"invoke/{template_id}"[:255], automation=template_id, by_alias=True)


def _accept(endpoint: Endpoint, raw: Mapping[str, Any], *, source: str, **what: Any) -> Response:
    """One run; `brand` and `template` belong to messages kept at Courier and mean nothing here."""
    body = Body(raw, strict=False)
    recipient = body.label("recipient", longest=255)
    data, profile = body.document("data"), body.document("profile")
    body.finish()
    key = idempotency.key_of(endpoint.request)
    asked = InvokeRequest(
        environment=endpoint.environment,
        actor=endpoint.actor,
        source=source,
        dialect="courier",
        strict=False,
        recipients=[Recipient(id=recipient)],
        data=data,
        profile=profile,
        idempotency_key=key,
        fingerprint=idempotency.fingerprint(address=source, body=raw) if key else None,
        **what,
    )
    if key is not None:
        asked = replace(asked, key_kept=_kept(endpoint.request, timezone.now()))
    try:
        accepted = execution.accept(asked)
    except Refusal as refusal:
        raise _respelt(refusal) from refusal
    response = Response({"runId": accepted.runs[0]["id"]})
    if accepted.replayed:
        response["Idempotent-Replayed"] = "true"
    return response


def _kept(request: Request, now: datetime) -> timedelta:
    """How long the key is in force: until `x-idempotency-expiration` (epoch seconds or ISO 8601), else 24 h.

    A moment that has passed cannot have been meant; then it is 24 h, too.
    """
    text = request.META.get("HTTP_X_IDEMPOTENCY_EXPIRATION", "").strip()
    if not text:
        return KEY_KEPT
    try:
        until = datetime.fromtimestamp(float(text), UTC) if _EPOCH.fullmatch(text) else parse_moment(text)
    except (ValueError, OverflowError) as error:
        message = "x-idempotency-expiration must be epoch seconds or an ISO 8601 timestamp"
        raise Refusal.at("", "invalid_expiration", message) from error
    return min(until - now, LONGEST_KEPT) if until > now else KEY_KEPT


def _respelt(refusal: Refusal) -> Refusal:
    """The refusal with pointers into Courier's body, where the definition is called `automation`."""
    respelt = [
        replace(problem, pointer=_COURIER_POINTER.sub(_courier_pointer, problem.pointer))
        for problem in refusal.problems
    ]
    return Refusal(refusal.kind, refusal.code, refusal.message, respelt)


_COURIER_POINTER = re.compile(r"^/definition(/cancellation_token\b)?")


def _courier_pointer(match: re.Match[str]) -> str:
    return "/automation/cancelation_token" if match[1] else "/automation"
