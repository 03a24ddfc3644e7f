"""Cancels executions by filters that all must hold, as SuprSend's API does; in force when it answers."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from automations import cancellation
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.errors import request_id
from automations.api.reading import UUID_PATTERN, Body
from automations.api.suprsend.authentication import Signed
from automations.api.suprsend.recipients import LONGEST_ID
from automations.cancellation import CancelRequest
from automations.models import (
    LONGEST_ADDRESS,
    CancellationFilter,
    Contact,
    Environment,
    Origin,
    automation_named,
)

MOST_RECIPIENTS = 100
MOST_FOUND = 1_000  # recipients known under the addresses given


class Cancel(Endpoint):
    """`POST /v1/workflow_run/cancel/`."""

    authentication_classes = (Signed,)
    post_scope = "cancel"

    @described("cancel", {200: "Cancelled"}, body="Cancel")
    def post(self, request: Request) -> Response:
        """The executions that this call cancelled: no further step of them starts. The first 1,000 are named."""
        body = Body(self.body(optional=True), strict=False)
        scope = _filter(body, self.environment)
        body.finish()
        done, _ = cancellation.cancel(
            CancelRequest(
                environment=self.environment,
                filter=scope,
                actor=self.actor,
                origin=Origin.SUPRSEND,
                request_id=request_id(request),
            )
        )
        return Response({"execution_ids": done.cancelled_run_ids})


def _filter(body: Body, environment: Environment) -> CancellationFilter:
    """What is empty is no filter, and never means all; what names nothing that there is matches nothing."""
    given: dict[str, Any] = {
        "key": body.label("cancellation_key", longest=255),
        "tenant": body.label("tenant_id", longest=255),
        "idempotency_key": body.label("idempotency_key", longest=255),
    }
    nothing = False
    execution = body.label("execution_id", longest=255)
    if execution is not None:
        known = re.fullmatch(UUID_PATTERN, execution)
        given["run_ids"], nothing = ((UUID(execution),), False) if known else ((), True)
    recipients = body.labels("recipients", most=MOST_RECIPIENTS, longest=LONGEST_ADDRESS)
    if recipients:
        found = Contact.objects.at(recipients, environment=environment, most=MOST_FOUND + 1)
        if len(found) > MOST_FOUND:  # cancelling the first of them would leave the others unsaid
            body.refuse("recipients", "too_many", f"more than {MOST_FOUND:,} recipients have these addresses")
        given["recipients"] = tuple(dict.fromkeys([*recipients, *found]))
    slug = body.label("workflow_slug", longest=LONGEST_ID)
    if slug is not None:
        automation = automation_named(slug, environment=environment)
        if automation is not None:
            given |= {"automation_id": automation.pk, "automation": automation.key}
        nothing = nothing or automation is None
    if nothing:
        given |= {"run_ids": (), "run_pks": ()}
    return CancellationFilter(**{name: value for name, value in given.items() if value is not None})
