"""Triggers workflows as SuprSend's API does, one or many at once: one run for each recipient."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations import execution
from automations.api import idempotency
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.errors import answer_to
from automations.api.parsing import parse, read_body
from automations.api.reading import Body
from automations.api.schemas import Schema, either, listed, ref
from automations.api.shapes import suprsend
from automations.api.suprsend.authentication import Signed
from automations.api.suprsend.components import MOST_AT_ONCE
from automations.api.suprsend.recipients import LONGEST_ID, Named, read_recipient, read_recipients
from automations.invocation import InvokeRequest
from automations.models import ApiKey, No, Refusal

ANSWERS = {202: "Triggered", 207: "TriggeredMany"}
# Where the caller says what an automation's or a definition's members say here.
SENT_AS = {
    "/automation": "/workflow",
    "/definition/steps/0/duration": "/delay",
    "/definition/steps/0/until": "/trigger_at",
}
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


def _one_or_many(name: str) -> Schema:
    return either(ref(name), listed(ref(name), MOST_AT_ONCE, least=1))


class _Triggers(Endpoint):
    """What both forms share: an object, answered 202, or a list of them, answered 207 with what came of each."""

    authentication_classes = (Signed,)
    post_scope = "invoke"

    def answer(self, read: Callable[[Body], Mapping[str, Any]]) -> Response:
        """What came of the request; `read` gives what a body asks to invoke."""
        value = parse(read_body(self.request._request, largest=self.largest_body))
        if not isinstance(value, list):
            return Response({"status": "success", "message_id": self._trigger(value, read)}, status=202)
        if not 1 <= len(value) <= MOST_AT_ONCE:
            raise Refusal.at("", "too_many", f"a list has 1 to {MOST_AT_ONCE} triggers", kind=No.MALFORMED)
        records = [self._record(entry, read) for entry in value]
        return Response({"status": "success", "records": records}, status=207)

    def _record(self, value: object, read: Callable[[Body], Mapping[str, Any]]) -> dict[str, Any]:
        """One entry of the list, which stands or falls for itself."""
        try:
            return {"status": "success", "status_code": 202, "message_id": self._trigger(value, read)}
        except Refusal as refusal:
            answer = answer_to(refusal)
            assert answer is not None  # a Refusal has one
            status, document = suprsend(answer)
            return {"status": "error", "status_code": status, "error": document["error"]}

    def _trigger(self, value: object, read: Callable[[Body], Mapping[str, Any]]) -> str:
        """The id of the invocation."""
        if not isinstance(value, dict):
            raise Refusal.at("", "not_an_object", "a trigger must be a JSON object", kind=No.MALFORMED)
        body = Body(value, strict=False)
        asked = {**read(body), **_shared(body)}
        recipients: list[Named] = asked.pop("recipients")
        body.finish()
        key = asked["idempotency_key"]
        # Whatever else it comes with: the same key again is skipped, as SuprSend documents.
        fingerprint = idempotency.fingerprint(address="trigger", body=key) if key else None
        request = InvokeRequest(
            environment=self.environment,
            actor=self.actor,
            dialect="suprsend",
            recipients=[named.recipient for named in recipients],
            addresses=[
                (named.recipient.id or "", address) for named in recipients for address in named.addresses
            ],
            fingerprint=fingerprint,
            **asked,
        )
        try:
            return str(execution.accept(request).invocation.uid)
        except Refusal as refusal:
            if refusal.kind is not No.NOT_FOUND:
                refusal.point(SENT_AS)
                raise
            message = f"workflow '{str(request.automation)[:100]}' not found"
            raise Refusal(No.NOT_FOUND, refusal.code, message) from refusal


class Trigger(_Triggers):
    """`POST /trigger/`."""

    @described("trigger", ANSWERS, body=_one_or_many("Workflow"), refuses=(404,))
    def post(self, request: Request) -> Response:
        """When this answers, the runs are stored and can be cancelled."""
        return self.answer(_published)


class TriggerDynamic(_Triggers):
    """`POST /{workspace}/trigger/`, the legacy form: the request brings the one message and its delay."""

    @described("trigger_dynamic", ANSWERS, body=_one_or_many("DynamicWorkflow"))
    def post(self, request: Request, workspace: ApiKey) -> Response:
        """As `Trigger` does."""
        if workspace.environment_id != self.environment.pk:
            raise Refusal(No.NOT_FOUND, "not_found", "there is no such workspace")
        return self.answer(_brought)


def _shared(body: Body) -> dict[str, Any]:
    """What both forms may say."""
    actor = read_recipient(body, "actor", required=False).recipient
    return {
        "performer": actor.id,
        "acquaintances": [actor] if actor.profile else [],
        "tenant": body.label("tenant_id", longest=255) or body.label("brand_id", longest=255),
        "key": body.label("cancellation_key", longest=255),
        "idempotency_key": body.label("$idempotency_key", longest=255),
        "data": body.document("data"),
    }


def _published(body: Body) -> dict[str, Any]:
    workflow = body.label("workflow", longest=LONGEST_ID, required=True)
    return {
        "automation": workflow,
        "by_alias": True,
        "source": f"trigger/{workflow}"[:255],
        "recipients": read_recipients(body, "recipients"),
    }


def _brought(body: Body) -> dict[str, Any]:
    """A message by its template, behind a delay if there is one."""
    name = body.label("name", longest=LONGEST_ID, required=True)
    template = body.label("template", longest=255, required=True)
    delay = _delay(body)
    send = {"action": "send", "template": template}
    return {
        "definition": {"steps": [send] if delay is None else [delay, send]},
        "strict": False,
        "source": f"trigger/{name}"[:255],
        "recipients": read_recipients(body, "users"),
    }


def _delay(body: Body) -> dict[str, Any] | None:
    """`delay` is `1d2h3m4s` or a number of seconds, `trigger_at` a moment; together they are refused."""
    delay = body.take("delay")
    if isinstance(delay, int) and not isinstance(delay, bool):
        delay = str(delay)
    if delay is not None and not isinstance(delay, str):
        body.refuse("delay", "invalid", "“delay” must be a text such as 1d2h, or whole seconds")
        return None
    until = body.label("trigger_at", longest=100)
    if delay and until is not None:
        body.refuse("trigger_at", "duplicate", "give either “delay” or “trigger_at”")
    if delay:
        duration = f"{delay} seconds" if _SECONDS.fullmatch(delay) else delay
        return {"action": "delay", "duration": duration}
    return None if until is None else {"action": "delay", "until": until}
