"""Cancels a workflow's runs by their key, and not by their token, as Knock's API does; in force when it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations import cancellation
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.errors import request_id
from automations.api.knock.recipients import read_recipients
from automations.api.knock.triggers import check_name, key_name, workflow_named
from automations.api.reading import Body
from automations.cancellation import CancelRequest
from automations.invocation import MOST_RECIPIENTS
from automations.models import CancellationFilter, No, Origin, Refusal, automation_named


class Cancel(Endpoint):
    """`POST /v1/workflows/{key}/cancel`. An Idempotency-Key means nothing here, as Knock documents."""

    post_scope = "cancel"

    @described("cancel", {204: None}, body="Cancel")
    def post(self, request: Request, workflow: str) -> Response:
        """204: no further step of those runs starts."""
        return _cancel(self, self.body(), workflow=workflow, key_name="cancellation_key")


class CancelNotify(Endpoint):
    """`POST /v1/notify/cancel`, the form of before 2022."""

    post_scope = "cancel"

    @described("cancel_notify", {204: None}, body="CancelNotify", refuses=(404,))
    def post(self, request: Request) -> Response:
        """As `Cancel` does."""
        raw = self.body()
        return _cancel(self, raw, workflow=workflow_named(raw), key_name=key_name(raw))


def _cancel(endpoint: Endpoint, raw: Mapping[str, Any], *, workflow: str, key_name: str) -> Response:
    body = Body(raw, strict=False)
    label = body.label(key_name, longest=255, required=True)
    recipients = read_recipients(body, "recipients", most=MOST_RECIPIENTS)
    if body.value.get("recipients") == []:
        body.refuse(
            "recipients", "empty_list", "“recipients” may not be an empty list; leave it out to mean all"
        )
    body.finish()
    check_name(workflow)
    automation = automation_named(workflow, environment=endpoint.environment)
    if automation is None:
        raise Refusal(No.NOT_FOUND, "automation_not_found", f"there is no workflow “{workflow[:100]}”")
    cancellation.cancel(
        CancelRequest(
            environment=endpoint.environment,
            filter=CancellationFilter(
                key=label,
                automation=automation.key,
                automation_id=automation.pk,
                recipients=tuple(recipient.id for recipient in recipients if recipient.id is not None),
            ),
            actor=endpoint.actor,
            origin=Origin.KNOCK,
            request_id=request_id(endpoint.request),
        )
    )
    return Response(status=204)
