"""Lists the runs of recipients, and shows one with its events, as Knock's API does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from automations.api import paging
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.knock.recipients import LONGEST_ID, object_text, reference
from automations.api.knock.statuses import WORDS, run_status, statuses_named
from automations.api.moments import stamp
from automations.api.reading import UUID_PATTERN, Query
from automations.api.run_filters import newest
from automations.api.schemas import TIME, Schema, listed, one_of, text
from automations.models import (
    Automation,
    Environment,
    Event,
    EventKind,
    Invocation,
    No,
    Refusal,
    Run,
    RunQuerySet,
    RunStatus,
    definition_of_run,
)

HIGHEST_LIMIT = 50
LISTED: Mapping[str, Schema] = {
    "page_size": {"type": "integer", "minimum": 1, "default": HIGHEST_LIMIT, "description": "50 at most."},
    "after": text(100),
    "status[]": listed(one_of(*WORDS)),
    "workflow": text(LONGEST_ID),
    "tenant": text(LONGEST_ID),
    "recipient": text(LONGEST_ID),
    "recipient[id]": text(LONGEST_ID),
    "recipient[collection]": text(LONGEST_ID),
    "has_errors": one_of("true", "false"),
    "starting_at": TIME,
    "ending_at": TIME,
}
FAILURES = frozenset({EventKind.STEP_FAILED, EventKind.STEP_RETRIED, EventKind.REAPED})


class Runs(Endpoint):
    """`GET /v1/workflow_recipient_runs`."""

    get_scope = "read"

    @described("list_runs", {200: "Runs"}, query=LISTED)
    def get(self, request: Request) -> Response:
        """The environment's runs, newest first, a page behind `after`."""
        query = Query(request.query_params)
        limit = query.number("page_size", HIGHEST_LIMIT, least=1, most=1_000_000)
        page = paging.Page(limit=min(int(limit), HIGHEST_LIMIT), after=paging.cursor(query, name="after"))
        if query.text("before") is not None:
            query.refuse("before", "not_supported", "pages are read forwards, with “after”")
        statuses, narrowed = _statuses(query)
        runs = _filtered(Run.objects.within(self.environment), query, self.environment)
        query.finish(strict=False)
        rows = newest(
            runs,
            environment=self.environment,
            statuses=statuses,
            narrowed=narrowed,
            before=page.before,
            most=page.fetch,
        )
        shown, cursor = page.cut(rows.listed(), lambda run: run.pk)
        named = Invocation.objects.only("uid", "tenant", "performer")
        invocations = named.in_bulk({run.invocation_id for run in shown})
        info = {"__typename": "PageInfo", "after": cursor, "before": None, "page_size": page.limit}
        items = [_shown(run, invocations[run.invocation_id]) for run in shown]
        return Response({"items": items, "page_info": info})


class OneRun(Endpoint):
    """`GET /v1/workflow_recipient_runs/{id}`."""

    get_scope = "read"

    @described("get_run", {200: "RunWithEvents"})
    def get(self, request: Request, run_id: str) -> Response:
        """The run and what happened to it, oldest first."""
        known = re.fullmatch(UUID_PATTERN, run_id)
        runs = Run.objects.with_state().within(self.environment)
        run = runs.find(UUID(run_id)) if known else None
        if run is None:
            raise Refusal(No.NOT_FOUND, "run_not_found", "there is no such workflow recipient run")
        actions = {step.name: step.action for step in definition_of_run(run).steps}
        written = list(run.events.all())
        events = [_event(event, actions) for event in (*written, *_not_yet_written(run, written))]
        return Response({**_shown(run, run.invocation), "events": events})


def _statuses(query: Query) -> tuple[Any, Mapping[str, Any]]:
    """What `status[]`, given once or more often, asks for; None for any."""
    query.read.add("status[]")
    words = {*query.parameters.getlist("status[]"), *query.parameters.getlist("status")}
    if words.difference(WORDS):
        query.refuse("status", "invalid", f"“status” is one of: {', '.join(WORDS)}")
    return statuses_named(words) if words else (None, {})


def _filtered(runs: RunQuerySet, query: Query, environment: Environment) -> RunQuerySet:
    if (workflow := query.text("workflow", longest=LONGEST_ID)) is not None:
        automation = Automation.objects.within(environment).named(workflow).only("key").first()
        key = automation.key if automation is not None else workflow
        runs = runs.following(key=key, environment=environment)
    if (tenant := query.text("tenant", longest=LONGEST_ID)) is not None:
        runs = runs.filter(invocation__in=Invocation.objects.filter(tenant=tenant).values("pk"))
    if (recipient := _recipient(query)) is not None:
        runs = runs.filter(recipient=recipient)
    if (errors := query.text("has_errors")) is not None:
        if errors not in ("true", "false"):
            query.refuse("has_errors", "invalid", "“has_errors” is true or false")
        failed = {"status": RunStatus.FAILED}  # which an index knows, and no other run has errors
        runs = runs.filter(**failed) if errors == "true" else runs.exclude(**failed)
    if (first := query.moment("starting_at")) is not None:
        runs = runs.since(first)
    if (last := query.moment("ending_at")) is not None:
        runs = runs.until(last)
    return runs


def _recipient(query: Query) -> str | None:
    identifier = query.text("recipient[id]", longest=LONGEST_ID)
    collection = query.text("recipient[collection]", longest=LONGEST_ID)
    if identifier is not None and collection is not None:
        return object_text(collection, identifier)
    if collection is not None:
        query.refuse("recipient[id]", "required", "“recipient[collection]” needs a “recipient[id]”")
    return identifier or query.text("recipient", longest=LONGEST_ID)


def _shown(run: Run, invocation: Invocation) -> dict[str, Any]:
    status, live = run_status(run), run.live_run
    changed = run.ended_at or (live.started_at if live else None) or run.created_at
    source = {"type": "api"} if run.key is None else {"type": "api", "cancellation_key": run.key}
    return {
        "__typename": "WorkflowRecipientRun",
        "id": str(run.uid),
        "workflow": run.automation.key if run.automation else run.source,
        "workflow_run_id": str(invocation.uid),
        "recipient": reference(run.recipient),
        "actor": reference(invocation.performer),
        "tenant": invocation.tenant,
        "status": status,
        "error_count": int(run.public_status == RunStatus.FAILED),
        "trigger_source": source,
        "inserted_at": stamp(run.created_at),
        "updated_at": stamp(changed),
    }


def _not_yet_written(run: Run, written: Sequence[Event]) -> Iterator[Event]:
    """The cancel of a run that is not archived yet, which is when its log tells of it; under the cancellation's id."""
    live, cancellation = run.live_run, run.called_off_by
    if run.status is not None or live is None or cancellation is None:
        return
    said = {"cancellation": str(cancellation.pk)}
    if not any(event.kind == EventKind.CANCELLED and said.items() <= event.data.items() for event in written):
        yield Event(
            pk=str(cancellation.pk), run=run, at=cancellation.as_of, kind=EventKind.CANCELLED, step=live.position,
            attempt=live.attempt, data={**said, "due_at": live.due_at.isoformat()},
        )  # fmt: skip


def _event(event: Event, actions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "__typename": "WorkflowRecipientRunEvent",
        "id": str(event.pk),
        "event": event.kind,
        "status": "error" if event.kind in FAILURES else "ok",
        "inserted_at": stamp(event.at),
        "step_ref": event.step or None,
        "step_type": actions.get(event.step),
        "attempt": event.attempt or None,
        "data": event.data,
    }
