"""Triggers workflows as Knock's API does: one run for each recipient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations import execution
from automations.api import idempotency, unread
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.errors import request_id
from automations.api.knock.recipients import LONGEST_ID, acquaintances, read_recipient, read_recipients
from automations.api.reading import Body, is_one_line
from automations.invocation import MOST_RECIPIENTS, InvokeRequest
from automations.models import No, Refusal


class Trigger(Endpoint):
    """`POST /v1/workflows/{key}/trigger`. The query, in which old SDKs repeat the body, is not read."""

    post_scope = "invoke"
    largest_body = unread.MOST

    @described("trigger", {200: "Triggered"}, body="Trigger", repeatable=True)
    def post(self, request: Request, workflow: str) -> Response:
        """When this answers, the runs are stored and can be cancelled."""
        return _trigger(self, self.body(), workflow=workflow, at="", key_name="cancellation_key")


class Notify(Endpoint):
    """`POST /v1/notify`, the form of before 2022: the workflow is named in the body."""

    post_scope = "invoke"
    largest_body = unread.MOST

    @described("notify", {200: "Triggered"}, body="Notify", repeatable=True, refuses=(404,))
    def post(self, request: Request) -> Response:
        """As `Trigger` does."""
        raw = self.body()
        return _trigger(self, raw, workflow=workflow_named(raw), at="/name", key_name=key_name(raw))


def workflow_named(raw: Mapping[str, Any]) -> str:
    """The workflow that a body of the old form names. Refusal without one."""
    body = Body(raw, strict=False)
    name = body.label("name", longest=LONGEST_ID, required=True)
    body.finish()
    return name or ""


def check_name(workflow: str) -> None:
    """Refusal (NOT_FOUND) for what no workflow can be called."""
    if len(workflow) > LONGEST_ID or not is_one_line(workflow):
        raise Refusal(No.NOT_FOUND, "automation_not_found", "there is no such workflow")


def key_name(raw: Mapping[str, Any]) -> str:
    """How a body of the old form spells the key to cancel by."""
    return "cancelation_key" if raw.get("cancelation_key") is not None else "cancellation_key"


def _trigger(
    endpoint: Endpoint, raw: Mapping[str, Any], *, workflow: str, at: str, key_name: str
) -> Response:
    """The answer; a refusal of the workflow, which the body names at `at`, points there."""
    key = idempotency.key_of(endpoint.request)
    check_name(workflow)
    fingerprint = idempotency.fingerprint(address=f"trigger/{workflow}", body=raw) if key else None
    asked = InvokeRequest(
        environment=endpoint.environment,
        actor=endpoint.actor,
        source=f"trigger/{workflow}"[:255],
        dialect="knock",
        request_id=request_id(endpoint.request),
        automation=workflow,
        by_alias=True,
        idempotency_key=key,
        fingerprint=fingerprint,
        **_asked(Body(raw, strict=False), key_name=key_name),
    )
    try:
        accepted = execution.accept(asked)
    except Refusal as refusal:
        refusal.point({"/automation": at})
        raise
    response = Response({"workflow_run_id": str(accepted.invocation.uid)})
    if accepted.replayed:
        response["Idempotent-Replayed"] = "true"
        if accepted.invocation.request_id:
            response["Original-X-Request-ID"] = accepted.invocation.request_id
    return response


def _asked(body: Body, *, key_name: str) -> dict[str, Any]:
    """What the body says, in the words of an invoke."""
    recipients = read_recipients(body, "recipients", most=MOST_RECIPIENTS)
    if not body.value.get("recipients"):
        body.refuse("recipients", "required", "“recipients” must have at least one entry")
    settings = body.members("settings")
    if settings is not None and settings.flag("sandbox_mode"):
        settings.refuse("sandbox_mode", "not_supported", "there is no sandbox here: messages would be sent")
    actor, tenant = read_recipient(body, "actor"), read_recipient(body, "tenant")
    asked = {
        "recipients": recipients,
        "performer": actor.id,
        "tenant": tenant.id,
        "acquaintances": acquaintances(body, actor=actor, tenant=tenant),
        "key": body.label(key_name, longest=255),
        "data": body.document("data"),
        "skips_delays": settings is not None and settings.flag("skip_delay"),
    }
    body.finish()
    return asked
