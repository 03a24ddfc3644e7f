"""Runs repeated, and waiting runs given another time, over the native API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations import execution
from automations.api import idempotency
from automations.api.authentication import demand_scopes_of
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.native import invocations, runs
from automations.api.reading import Body
from automations.api.schemas import DURATION, OBJECT, TIME, either, request_of, text, whole
from automations.definition import parse_duration, parse_moment
from automations.execution import ReplayRequest
from automations.models import Run

HIGHEST_STEP = 1_000_000


class Replay(Endpoint):
    """`/api/v1/runs/{id}/replay`."""

    post_scope = "invoke"

    @described(
        "replay_run",
        {201: "Replayed"},
        body=request_of(maybe={"from_step": either(text(100), whole(0, HIGHEST_STEP)), "data": OBJECT}),
        optional=True,
        repeatable=True,
    )
    def post(self, request: Request, uid: str) -> Response:
        """Repeats a finished run as a new one. The same Idempotency-Key gives the same answer."""
        raw = self.body(optional=True)
        key = idempotency.key_of(request)
        body = Body(raw)
        from_step = _from_step(body)
        data = body.document("data") if "data" in body.value else None
        body.finish()
        run = runs.find_run(Run.objects.with_state(), self.environment, uid)
        demand_scopes_of(run.invocation.definition, self.key)
        address = f"runs/{run.uid}/replay"
        accepted = execution.replay(
            ReplayRequest(
                environment=self.environment,
                actor=self.actor,
                run=run,
                from_step=from_step,
                data=data,
                idempotency_key=key,
                fingerprint=idempotency.fingerprint(address=address, body=raw) if key else None,
            )
        )
        answer = invocations.shown(accepted.invocation, accepted.runs)
        response = Response({**answer, "replay_of": str(run.uid)}, status=201)
        if accepted.replayed:
            response["Idempotent-Replayed"] = "true"
        return response


class Reschedule(Endpoint):
    """`/api/v1/runs/{id}/reschedule`. Who may invoke decides when steps happen; a key that may only call off must
    not be able to make anything happen (docs/decisions/0010-replay-and-reschedule.md)."""

    post_scope = "invoke"

    @described("reschedule_run", {200: "Run"}, body=request_of(maybe={"due_at": TIME, "in": DURATION}))
    def post(self, request: Request, uid: str) -> Response:
        """Lets a waiting run go on at another time."""
        body = Body(self.body())
        when = _when(body)
        body.finish()
        return _moved(self, uid, when)


class RunNow(Endpoint):
    """`/api/v1/runs/{id}/run-now`."""

    post_scope = "invoke"

    @described("run_now", {200: "Run"}, body=request_of(), optional=True)
    def post(self, request: Request, uid: str) -> Response:
        """Lets a waiting run go on at once."""
        Body(self.body(optional=True)).finish()
        return _moved(self, uid, execution.NOW)


def _moved(endpoint: Endpoint, uid: str, when: datetime | timedelta) -> Response:
    run = runs.find_run(Run.objects.only("pk"), endpoint.environment, uid)
    moved = execution.reschedule(
        environment=endpoint.environment, run=run, when=when, actor=endpoint.actor
    )  # fmt: skip
    return Response(runs.whole(moved))


def _from_step(body: Body) -> str | int | None:
    """A step's id, or its index."""
    given: Any = body.value.get("from_step")
    if isinstance(given, int):
        return body.number("from_step", 0, least=0, most=HIGHEST_STEP)
    return body.label("from_step", longest=100)


def _when(body: Body) -> datetime | timedelta:
    """A moment, or how long from now; a moment that cannot be read is refused with the body."""
    due_at, delay = body.text("due_at", longest=100), body.text("in", longest=200)
    if ("due_at" in body.value) is ("in" in body.value):
        body.refuse("due_at", "required", "give either “due_at”, a moment, or “in”, a duration")
    try:
        if due_at is not None:
            return parse_moment(due_at)
        return execution.NOW if delay is None else parse_duration(delay)
    except ValueError as error:
        name = "in" if due_at is None else "due_at"
        body.refuse(name, f"invalid_{'duration' if due_at is None else 'moment'}", str(error))
    return execution.NOW
