"""Lists runs and their steps as Courier's run API does."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from automations.api import paging
from automations.api.courier.statuses import run_status, statuses_named, step_status
from automations.api.endpoint import Endpoint
from automations.api.moments import stamp
from automations.api.reading import UUID_PATTERN, Query
from automations.api.run_filters import newest
from automations.models import Automation, Environment, No, Refusal, Run, RunQuerySet, steps_of_run
from automations.timeline import StepState

STANDARD_LIMIT = 20
HIGHEST_LIMIT = 50
MOST_WORDS = 100
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Runs(Endpoint):
    """`GET /automations/runs`."""

    get_scope = "read"

    def get(self, request: Request) -> Response:
        """The environment's runs, newest first; without `next_cursor` on the last page."""
        query = Query(request.query_params)
        page = paging.Page(limit=_limit(query), after=paging.cursor(query))
        words = _words(query, "status")
        runs = _filtered(Run.objects.within(self.environment), query, self.environment)
        query.finish(strict=False)
        rows = newest(
            runs,
            environment=self.environment,
            statuses=None if words is None else statuses_named(words),
            before=page.before,
            most=page.fetch,
        )
        shown, cursor = page.cut(rows.listed(), lambda run: run.pk)
        answer: dict[str, Any] = {"runs": [_item(run) for run in shown]}
        if cursor is not None:
            answer["next_cursor"] = cursor
        return Response(answer)


class RunSteps(Endpoint):
    """`GET /automations/runs/{id}/steps`."""

    get_scope = "read"

    def get(self, request: Request, run_id: str) -> Response:
        """The steps that the run has reached."""
        run = find_run(Run.objects.with_state(), self.environment, run_id)
        states = [state for state in steps_of_run(run) if step_status(state.status) is not None]
        return Response({"steps": [_step(state) for state in states]})


def find_run(runs: RunQuerySet, environment: Environment, run_id: str) -> Run:
    """The environment's run of that id; the same Refusal whether it is unknown, foreign or no id at all."""
    known = re.fullmatch(UUID_PATTERN, run_id)
    run = runs.within(environment).filter(uid=UUID(run_id)).first() if known else None
    if run is None:
        raise Refusal(No.NOT_FOUND, "run_not_found", "Run not found")
    return run


def _filtered(runs: RunQuerySet, query: Query, environment: Environment) -> RunQuerySet:
    if (templates := _words(query, "template_id")) is not None:
        named = Q(key__in=templates) | Q(alias__in=templates)
        runs = runs.filter(automation__in=Automation.objects.within(environment).filter(named).values("pk"))
    if (first := _moment(query, "start_date")) is not None:
        runs = runs.since(first)
    if (last := _moment(query, "end_date", at_end=True)) is not None:
        runs = runs.until(last)
    return runs


def _limit(query: Query) -> int:
    """Clamped, and the standard where it is no number, as Courier documents."""
    text = query.parameters.get("limit", "").strip()
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
        return STANDARD_LIMIT
    return min(max(int(text), 1), HIGHEST_LIMIT)


def _words(query: Query, name: str) -> Collection[str] | None:
    text = query.text(name, longest=10_000)
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) > MOST_WORDS:
        query.refuse(name, "too_many", f"“{name}” may name at most {MOST_WORDS}")
    return words[:MOST_WORDS]


def _moment(query: Query, name: str, *, at_end: bool = False) -> datetime | None:
    """An inclusive bound: a day stands for its first moment, or its last one."""
    moment = query.moment(name)
    if moment is None or not at_end:
        return moment
    if _DAY.fullmatch(query.text(name) or ""):
        return datetime.combine(moment.date(), time.max, UTC)
    # Courier's timestamps, like ours, end with milliseconds: one shown and sent back includes its own run.
    return moment + timedelta(microseconds=999) if moment.microsecond % 1000 == 0 else moment


def _item(run: Run) -> dict[str, Any]:
    item: dict[str, Any] = {
        "run_id": str(run.uid),
        "status": run_status(run.public_status, run.status_reason),
        "source": [run.source],
        "created_at": stamp(run.created_at),
    }
    if run.automation is not None:
        item["template_id"] = run.automation.key
    return item


def _step(state: StepState) -> dict[str, Any]:
    step = {
        "action": state.action,
        "status": step_status(state.status),
        "step_id": state.id,
        "created_at": stamp(state.started_at),
        "updated_at": stamp(state.finished_at or state.started_at),
    }
    return {name: value for name, value in step.items() if value is not None}
