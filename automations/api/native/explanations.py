"""Why a run was or was not called off, over the native API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from automations import near_misses
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.moments import stamp
from automations.api.native.cancellations import find_cancellation
from automations.api.native.runs import find_run
from automations.api.reading import Query
from automations.api.schemas import UID
from automations.explanation import Explanation, explain, explain_undone
from automations.models import Run


class ExplainCancel(Endpoint):
    """`/api/v1/runs/{id}/explain-cancel`."""

    get_scope = "read"

    @described("explain_cancel", {200: "CancelExplained"}, query={"cancellation": UID})
    def get(self, request: Request, uid: str) -> Response:
        """Why the cancellation asked for hit the run or did not; without one, the cancellation that hit it, else
        those that came near."""
        query = Query(request.query_params)
        asked = query.uuid("cancellation")
        query.finish()
        run = find_run(Run.objects.explained(), self.environment, uid)
        cancellation = run.called_off_by
        if asked is not None and (cancellation is None or cancellation.pk != asked):
            cancellation = find_cancellation(self.environment, asked)
        if cancellation is None:
            return Response({"run": str(run.uid), "cancellation": None, **_told(_not_called_off(run))})
        explained = _told(explain(run, cancellation))
        return Response({"run": str(run.uid), "cancellation": str(cancellation.pk), **explained})


class NearMisses(Endpoint):
    """`/api/v1/cancellations/{id}/near-misses`."""

    get_scope = "read"

    @described("list_near_misses", {200: "NearMisses"})
    def get(self, request: Request, uid: str) -> Response:
        """Runs that nearly bear the token or key that the cancellation asked for, or bore it at another time."""
        Query(request.query_params).finish()
        cancellation = find_cancellation(self.environment, UUID(uid))
        items = [
            {
                "run": str(run.uid),
                "status": run.public_status,
                "recipient": run.recipient,
                "cancellation_token": run.token,
                "cancellation_key": run.key,
                "created_at": stamp(run.created_at),
                **_told(explanation),
            }
            for run, explanation in near_misses.of_cancellation(cancellation)
        ]
        return Response({"cancellation": str(cancellation.pk), "items": items})


def _not_called_off(run: Run) -> Explanation:
    """What is to be said of a run that nobody called off, or only who was undone."""
    near = [
        {"cancellation": str(cancellation.pk), "as_of": stamp(cancellation.as_of), **_told(explanation)}
        for cancellation, explanation in near_misses.of_run(run)
    ]
    came = f"; {len(near)} came near" if near else ""
    sentence = f"no cancellation has hit this run, which is {run.public_status}"
    told = explain_undone(run) or Explanation(hit=False, reason="not_cancelled", sentence=sentence)
    return replace(told, sentence=told.sentence + came, details={**told.details, "near_misses": near})


def _told(explanation: Explanation) -> dict[str, Any]:
    return {
        "hit": explanation.hit,
        "reason": explanation.reason,
        "sentence": explanation.sentence,
        "details": _stamped(explanation.details),
    }


def _stamped(details: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: stamp(value) if isinstance(value, datetime) else value for name, value in details.items()
    }  # fmt: skip
