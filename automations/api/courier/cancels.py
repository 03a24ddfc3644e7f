"""Cancels by run or by token, as Courier's journeys/cancel does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations import cancellation
from automations.api.courier.endpoint import CourierEndpoint
from automations.api.courier.runs import find_run
from automations.api.courier.statuses import run_status
from automations.api.description import described
from automations.api.errors import request_id
from automations.api.reading import Body
from automations.api.schemas import either, ref, request_of, text
from automations.cancellation import CancelRequest
from automations.models import Cancellation, CancellationFilter, Origin, Run


class Cancel(CourierEndpoint):
    """`POST /journeys/cancel`, which reaches runs of automations as well."""

    post_scope = "cancel"

    @described(
        "cancel",
        {202: either(ref("CancelledRun"), ref("CancelledToken"))},
        body=either(
            request_of({"run_id": text(255)}, strict=False),
            request_of({"cancelation_token": text(512)}, strict=False),
        ),
        repeatable=True,
        refuses=(404,),
    )
    def post(self, request: Request) -> Response:
        """When this answers, no further step of those runs starts."""
        raw = self.body()
        body = Body(raw, strict=False)
        run_id = body.label("run_id", longest=255)
        token = body.label("cancelation_token", longest=512)
        if ("run_id" in body.value) is ("cancelation_token" in body.value):
            body.refuse("run_id", "required", "give exactly one of “run_id” and “cancelation_token”")
        body.finish()
        if token is not None:
            self._cancel(raw, CancellationFilter(token=token))
            return Response({"cancelation_token": token}, status=202)
        run = find_run(Run.objects.only("pk", "uid"), self.environment, run_id or "")
        self._cancel(raw, CancellationFilter(run_ids=(run.uid,), run_pks=(run.pk,)))
        after = (
            Run.objects.select_related("live").only("status", "status_reason", "live__state").get(pk=run.pk)
        )
        status = run_status(after.public_status, after.status_reason)
        return Response({"run_id": run_id, "status": status}, status=202)

    def _cancel(self, raw: Mapping[str, Any], scope: CancellationFilter) -> Cancellation:
        done, _ = cancellation.cancel(
            CancelRequest(
                environment=self.environment,
                filter=scope,
                actor=self.actor,
                origin=Origin.COURIER,
                request_id=request_id(self.request),
                **self.repeatable(address="journeys/cancel", body=raw),
            )
        )
        return done
