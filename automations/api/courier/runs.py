"""Lists runs and their steps as Courier's run APIs do: one for automations, one for journeys.

Neither shows what the other does: a run belongs to the surface through which it was invoked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from automations.api import paging
from automations.api.courier.endpoint import CourierEndpoint
from automations.api.courier.statuses import run_status, statuses_named, step_status
from automations.api.description import described
from automations.api.moments import stamp
from automations.api.reading import UUID_PATTERN, Query
from automations.api.run_filters import newest
from automations.api.schemas import TEXT, TIME, Schema, text
from automations.models import (
    JOURNEYS,
    Automation,
    Environment,
    No,
    Refusal,
    Run,
    RunQuerySet,
    definition_of_run,
    steps_of_run,
)
from automations.timeline import StepState

STANDARD_LIMIT = 20
HIGHEST_LIMIT = 50
MOST_WORDS = 100
LISTED: Mapping[str, Schema] = {
    "limit": {**TEXT, "description": "1 to 50, clamped; 20 for what is no number."},
    "cursor": text(100),
    "status": {**text(10_000), "description": "Words with commas between them."},
    "template_id": {**text(10_000), "description": "Ids or aliases with commas between them."},
    "start_date": TIME,
    "end_date": TIME,
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_CURSOR = r"-?\d{1,18}"  # with a minus: the page before that run


class Runs(CourierEndpoint):
    """`GET /automations/runs`: every run but those of journeys."""

    get_scope = "read"

    @described("list_runs", {200: "Runs"}, query=LISTED)
    def get(self, request: Request) -> Response:
        """The environment's runs, newest first; without `next_cursor` on the last page."""
        found, cursors = self.page()
        cursors.pop("prev_cursor", None)
        return Response({"runs": [_item(run) for run in found], **cursors})

    def visible(self) -> RunQuerySet:
        """The runs of this surface."""
        return Run.objects.within(self.environment).not_of_journeys()

    def page(self) -> tuple[list[Run], dict[str, str]]:
        """The runs asked for, and the cursors of the pages beside them."""
        query = Query(self.request.query_params)
        limit, cursor = _limit(query), paging.cursor(query, pattern=_CURSOR)
        words = _words(query, "status")
        runs = _filtered(self.visible(), query, self.environment)
        query.finish(strict=False)
        back = cursor is not None and cursor.startswith("-")
        place = None if cursor is None else abs(int(cursor))
        fetched = newest(
            runs,
            environment=self.environment,
            statuses=None if words is None else statuses_named(words),
            before=None if back else place,
            after=place if back else None,
            most=limit + 1,
        )
        listed = list(fetched.listed())
        shown, more = listed[:limit], len(listed) > limit
        if back:
            shown.reverse()
        return shown, _cursors(shown, newer=more if back else place is not None, older=more or back)


class RunSteps(CourierEndpoint):
    """`GET /automations/runs/{id}/steps`."""

    get_scope = "read"

    @described("list_steps", {200: "Steps"})
    def get(self, request: Request, run_id: str) -> Response:
        """The steps that the run has reached."""
        run = _run(self.environment, run_id, of_journeys=False)
        return Response({"steps": [_step(state) for state in _reached(run)]})


class OneRun(CourierEndpoint):
    """`GET /automations/runs/{id}`, which Courier's SDKs knew in their first release."""

    get_scope = "read"

    @described("get_run", {200: "RunWithSteps"})
    def get(self, request: Request, run_id: str) -> Response:
        """The run with its automation's steps, and how far each has come."""
        run = _run(self.environment, run_id, of_journeys=False)
        automation: dict[str, Any] = {"steps": [_step(state) for state in _reached(run)]}
        if (token := definition_of_run(run).cancellation_token) is not None:
            automation["cancelation_token"] = token
        return Response({**_whole(run), "automation": automation})


class JourneyRuns(Runs):
    """`GET /journeys/runs`: the runs invoked through /journeys."""

    @described("list_journey_runs", {200: "JourneyRuns"}, query=LISTED)
    def get(self, request: Request) -> Response:
        """Newest first; without `next_cursor` on the last page, without `prev_cursor` on the first."""
        found, cursors = self.page()
        return Response({"runs": [_item(run) for run in found], **cursors})

    def visible(self) -> RunQuerySet:
        """The runs of this surface."""
        return Run.objects.within(self.environment).of_journeys(self.environment)


class OneJourneyRun(CourierEndpoint):
    """`GET /journeys/runs/{id}`."""

    get_scope = "read"

    @described("get_journey_run", {200: "JourneyRun"})
    def get(self, request: Request, run_id: str) -> Response:
        """The run, and when it last changed."""
        return Response({"run": _whole(_run(self.environment, run_id, of_journeys=True))})


class JourneyRunSteps(CourierEndpoint):
    """`GET /journeys/runs/{id}/steps`."""

    get_scope = "read"

    @described("list_journey_steps", {200: "NodesReached"})
    def get(self, request: Request, run_id: str) -> Response:
        """The nodes that the run has reached, by the ids they have in the journey."""
        run = _run(self.environment, run_id, of_journeys=True)
        return Response({"steps": [_node(state) for state in _reached(run)]})


def find_run(runs: RunQuerySet, environment: Environment, run_id: str) -> Run:
    """The environment's run of that id; the same Refusal whether it is unknown, foreign or no id at all."""
    known = re.fullmatch(UUID_PATTERN, run_id)
    run = runs.within(environment).find(UUID(run_id)) if known else None
    if run is None:
        raise _missing()
    return run


def _run(environment: Environment, run_id: str, *, of_journeys: bool) -> Run:
    """A run of this surface; one of the other is not there."""
    run = find_run(Run.objects.with_state(), environment, run_id)
    if (run.invocation.dialect == JOURNEYS) is not of_journeys:
        raise _missing()
    return run


def _missing() -> Refusal:
    return Refusal(No.NOT_FOUND, "run_not_found", "Run not found")


def _filtered(runs: RunQuerySet, query: Query, environment: Environment) -> RunQuerySet:
    if (templates := _words(query, "template_id")) is not None:
        named = Q(key__in=templates) | Q(alias__in=templates)
        runs = runs.filter(automation__in=Automation.objects.within(environment).filter(named).values("pk"))
    if (first := _moment(query, "start_date")) is not None:
        runs = runs.since(first)
    if (last := _moment(query, "end_date", at_end=True)) is not None:
        runs = runs.until(last)
    return runs


def _cursors(shown: list[Run], *, newer: bool, older: bool) -> dict[str, str]:
    cursors = {}
    if shown and older:
        cursors["next_cursor"] = paging.encode(str(shown[-1].pk))
    if shown and newer:
        cursors["prev_cursor"] = paging.encode(f"-{shown[0].pk}")
    return cursors


def _limit(query: Query) -> int:
    """Clamped, and the standard where it is no number, as Courier documents."""
    text = query.parameters.get("limit", "").strip()
    if not re.fullmatch(r"-?\d{1,300}", text, re.ASCII):
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
    moment, text = query.moment(name), query.text(name, longest=100) or ""
    is_day = _DAY.fullmatch(text) is not None
    if moment is not None and not is_day and _names_a_day(text):
        query.refuse(name, "invalid", f"{text!r} is not a day; write it as 2026-11-20")
        return None
    if moment is None or not at_end:
        return moment
    if is_day:
        return datetime.combine(moment.date(), time.max, UTC)
    # Courier's timestamps, like ours, end with milliseconds: one shown and sent back includes its own run.
    return moment + timedelta(microseconds=999) if moment.microsecond % 1000 == 0 else moment


def _names_a_day(text: str) -> bool:
    """Whether it is one of ISO 8601's ways to write a day, or a week."""
    try:
        date.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


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


def _whole(run: Run) -> dict[str, Any]:
    """The run with the latest of what its row and its log know of."""
    live = run.live_run
    logged = run.events.order_by("-pk").values_list("at", flat=True).first()
    known = [run.created_at, run.ended_at, logged, live.started_at if live else None]
    return {**_item(run), "updated_at": stamp(max(moment for moment in known if moment is not None))}


def _reached(run: Run) -> list[StepState]:
    return [state for state in steps_of_run(run) if step_status(state.status) is not None]


def _step(state: StepState) -> dict[str, Any]:
    return _described(state, "step_id")


def _node(state: StepState) -> dict[str, Any]:
    described = _described(state, "node_id")
    error, skipped = None, None
    if described["status"] == "ERROR":
        error = {"message": _message(state.error)}
    if described["status"] == "SKIPPED":
        skipped = _SKIPPED.get(state.skip_reason or "", state.skip_reason or "skipped")
    return {**described, "error": error, "skip_reason": skipped}


_SKIPPED = {"condition_false": "Node conditions not met"}


def _message(error: object) -> str:
    found = error.get("message") if isinstance(error, dict) else error
    return str(found or "the step failed")


def _described(state: StepState, name: str) -> dict[str, Any]:
    step = {
        "action": state.action,
        "status": step_status(state.status),
        name: state.id,
        "created_at": stamp(state.started_at),
        "updated_at": stamp(state.finished_at or state.started_at),
    }
    return {member: value for member, value in step.items() if value is not None}
