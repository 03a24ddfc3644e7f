"""Runs over the native API: found, looked into, and called off one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from automations import cancellation
from automations.api import paging
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.errors import request_id
from automations.api.moments import stamp
from automations.api.native.receipts import WAIT, receipt, settled_within, wait_of
from automations.api.reading import Body, Query
from automations.api.run_filters import newest
from automations.api.schemas import TIME, UID, Schema, one_of, prose, request_of, text
from automations.cancellation import CancelRequest
from automations.definition import Invoke
from automations.models import (
    Automation,
    CancellationFilter,
    Environment,
    Event,
    No,
    Origin,
    Refusal,
    Run,
    RunQuerySet,
    RunStatus,
    definition_of_run,
    due_before,
    steps_of_run,
)
from automations.timeline import StepState

CHILDREN_LISTED = 100
FILTERS: Mapping[str, Schema] = {
    "status": one_of(*RunStatus.values),
    "automation": text(100),
    "source": {**text(255), "description": "The source, or what it begins with."},
    "token": {**text(512), "description": "A run's token or key."},
    "key": text(255),
    "recipient": text(255),
    "invocation": UID,
    "parent": UID,
    "id": {**text(36), "description": "The id, or what it begins with."},
    "created_after": TIME,
    "created_before": TIME,
    "due_before": TIME,
}


class Runs(Endpoint):
    """`/api/v1/runs`."""

    get_scope = "read"

    @described("list_runs", {200: paging.page_of("RunSummary")}, query={**paging.PAGED, **FILTERS})
    def get(self, request: Request) -> Response:
        """The environment's runs that match every filter given."""
        query = Query(request.query_params)
        page = paging.asked(query)
        status = query.status("status")
        runs = _filtered(Run.objects.within(self.environment), query, self.environment)
        query.finish()
        rows = newest(
            runs,
            environment=self.environment,
            statuses=None if status is None else [status],
            before=page.before,
            most=page.fetch,
        )
        shown, cursor = page.cut(_lean(rows.with_state()), lambda run: run.pk)
        parents = _uids(run.parent_id for run in shown)
        items = [_summary(run, parent=parents.get(run.parent_id)) for run in shown]
        return Response({"items": items, "next_cursor": cursor})


class OneRun(Endpoint):
    """`/api/v1/runs/{id}`."""

    get_scope = "read"

    @described("get_run", {200: "Run"})
    def get(self, request: Request, uid: str) -> Response:
        """The run with its steps."""
        run = find_run(Run.objects.with_state(), self.environment, uid)
        return Response(whole(run))


class RunEvents(Endpoint):
    """`/api/v1/runs/{id}/events`."""

    get_scope = "read"

    @described("list_run_events", {200: paging.page_of("RunEvent")}, query=paging.PAGED)
    def get(self, request: Request, uid: str) -> Response:
        """The run's log."""
        query = Query(request.query_params)
        page = paging.asked(query)
        query.finish()
        events = find_run(Run.objects.only("pk"), self.environment, uid).events.order_by("-pk")
        if page.after is not None:
            events = events.filter(pk__lt=int(page.after))
        shown, cursor = page.cut(events[: page.fetch], lambda event: event.pk)
        return Response({"items": [_event(event) for event in shown], "next_cursor": cursor})


class CancelRun(Endpoint):
    """`/api/v1/runs/{id}/cancel`."""

    post_scope = "cancel"

    @described(
        "cancel_run",
        {200: "Receipt"},
        query=WAIT,
        body=request_of(maybe={"reason": prose(cancellation.LONGEST_REASON)}),
        optional=True,
    )
    def post(self, request: Request, uid: str) -> Response:
        """Calls the run off; also recorded when it had finished before, and then nothing moves."""
        wait = wait_of(request)
        body = Body(self.body(optional=True))
        reason = body.text("reason", longest=cancellation.LONGEST_REASON)
        body.finish()
        run = find_run(Run.objects.only("pk", "uid"), self.environment, uid)
        done, _ = cancellation.cancel(
            CancelRequest(
                environment=self.environment,
                filter=CancellationFilter(run_ids=(run.uid,), run_pks=(run.pk,)),
                actor=self.actor,
                origin=Origin.API,
                reason=reason or "",
                request_id=request_id(request),
            )
        )
        settled = settled_within(done, seconds=wait)
        return Response(receipt(done, settled=settled))


def whole(run: Run) -> dict[str, Any]:
    """The run with its steps, its parent and its first children; read `with_state()`. What it has of a family costs
    a statement each."""
    steps = [_step(state) for state in steps_of_run(run)]
    parents = _uids([run.parent_id])
    return {
        **_summary(run, parent=parents.get(run.parent_id)),
        "children": _children(run),
        "explain_cancel": f"/api/v1/runs/{run.uid}/explain-cancel",
        "steps": steps,
    }


def _uids(pks: Iterable[int | None]) -> dict[int | None, str]:
    """The public ids of these runs."""
    wanted = {pk for pk in pks if pk is not None}
    known = Run.objects.filter(pk__in=wanted).values_list("pk", "uid") if wanted else ()
    return {pk: str(uid) for pk, uid in known}


def _children(run: Run) -> list[str]:
    """Of a run that has steps which start some."""
    if not any(isinstance(step, Invoke) for step in definition_of_run(run).steps):
        return []
    children = Run.objects.filter(parent=run).order_by("pk").values_list("uid", flat=True)
    return [str(uid) for uid in children[:CHILDREN_LISTED]]


def find_run(runs: RunQuerySet, environment: Environment, uid: str) -> Run:
    """The environment's run of that id. Refusal (NOT_FOUND)."""
    run = runs.within(environment).find(UUID(uid))
    if run is None:
        raise Refusal(No.NOT_FOUND, "run_not_found", f"there is no run {uid}")
    return run


def _filtered(runs: RunQuerySet, query: Query, environment: Environment) -> RunQuerySet:
    """The runs that all of the query's filters leave."""
    if automation := query.text("automation", longest=100):
        known = Automation.objects.within(environment).filter(key=automation)
        runs = runs.filter(automation__in=known.values("pk"))
    if source := query.text("source", longest=255):
        runs = runs.found_by(source, environment=environment, fields=["source"])
    if token := query.text("token"):
        runs = runs.labelled(token)
    if prefix := query.text("id", longest=36):
        try:
            runs = runs.with_id(prefix)
        except ValueError as error:
            query.refuse("id", "invalid", str(error))
    if after := query.moment("created_after"):
        runs = runs.since(after)
    if before := query.moment("created_before"):
        runs = runs.until(before)
    conditions = {
        "key": query.text("key", longest=255),
        "recipient": query.text("recipient", longest=255),
        "invocation__uid": query.uuid("invocation"),
        "parent__uid": query.uuid("parent"),
    }
    if due := query.moment("due_before"):
        runs = runs.filter(due_before(due, of="live__"), live__state="waiting")
    return runs.filter(**{name: value for name, value in conditions.items() if value is not None})


def _lean(runs: RunQuerySet) -> RunQuerySet:
    """Without the wide columns that a list does not show."""
    return runs.defer(
        "profile", "automation__draft", "version__definition", "invocation__data", "invocation__definition",
        "invocation__answer", "live__unsettled",
    )  # fmt: skip


def _summary(run: Run, *, parent: str | None) -> dict[str, Any]:
    called_off_by = run.called_off_by
    return {
        "id": str(run.uid),
        "invocation": str(run.invocation.uid),
        "automation": run.automation.key if run.automation else None,
        "version": run.version.number if run.version else None,
        "source": run.source,
        "recipient": run.recipient,
        "cancellation_token": run.token,
        "cancellation_key": run.key,
        "status": run.public_status,
        "settling": run.is_settling,
        "held": run.is_held,
        "status_reason": run.reason or None,
        "parent": parent,
        "replay_of": str(run.replay_of) if run.replay_of else None,
        "created_at": stamp(run.created_at),
        "due_at": stamp(run.due_at),
        "finished_at": stamp(run.ended_at),
        "cancellation": None if called_off_by is None else {
            "id": str(called_off_by.pk),
            "at": stamp(called_off_by.as_of),
            "actor": called_off_by.actor,
            "origin": called_off_by.origin,
            "reason": called_off_by.reason or None,
        },
    }  # fmt: skip


def _step(state: StepState) -> dict[str, Any]:
    return {
        "index": state.index,
        "id": state.id,
        "action": state.action,
        "status": state.status,
        "attempts": state.attempts,
        "due_at": stamp(state.due_at),
        "started_at": stamp(state.started_at),
        "finished_at": stamp(state.finished_at),
        "output": state.output,
        "error": state.error,
        "skip_reason": state.skip_reason,
        "outcome_after_cancel": state.outcome_after_cancel,
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": str(event.pk),
        "at": stamp(event.at),
        "kind": event.kind,
        "step": event.step or None,
        "attempt": event.attempt,
        "data": _shown(event.data),
    }


def _shown(data: Mapping[str, Any]) -> dict[str, Any]:
    """As logged, without the number by which the records tell attempts apart, and times as everywhere else."""
    shown = {name: value for name, value in data.items() if name != "fence"}
    for name in ("due_at", "was_due_at", "started_at"):
        if name in shown:
            shown[name] = stamp(datetime.fromisoformat(shown[name]))
    if "folded" in shown:
        shown["folded"] = [_shown(folded) for folded in shown["folded"]]
    return shown
