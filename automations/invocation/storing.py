"""Writes an invocation, its runs and their live rows, inside a transaction behind the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models

from automations.definition import Definition
from automations.invocation.acquaintance import is_inhabited
from automations.invocation.preparation import forget_automation
from automations.invocation.request import LISTED, Draft, Replay, RunDraft
from automations.machine import Plan
from automations.models import (
    Entry,
    EventKind,
    Invocation,
    Kept,
    Listener,
    LiveRun,
    Run,
    called_off_at_birth,
    listeners_of,
)
from automations.models.statements import New, Rows, Statement, Wanted, drawing, drawn, fetch, row_of


@dataclass(frozen=True, kw_only=True)
class Composed:
    """An invocation and the rows of its runs with their keys drawn, not stored yet. A run whose plan ends it has no
    live row."""

    invocation: Invocation
    runs: Sequence[New]
    live: Sequence[New]
    listeners: Sequence[Listener] = ()

    def rows(self) -> list[New]:
        """What to insert, each row after those it refers to."""
        return [self.invocation, *self.runs, *self.live, *self.listeners]


def invoke(draft: Draft, *, plans: Sequence[Plan], now: datetime, answers: Sequence[Rows] = ()) -> Composed:
    """The draft's rows, each run resting where its plan says, inside a transaction behind the gate; the caller
    inserts them, with an `invoked_event` for each run.

    `plans` are in the order of `draft.runs`; `answers` those to `questions`, where they were asked with the
    gate. ChangedMeanwhile when the automation was disabled, archived or
    published anew since the draft was prepared.
    """
    (invocation_pk,), run_pks = _keys_if_unchanged(draft, answers or fetch(questions(draft)))
    invocation = _invocation(invocation_pk, draft, plans, now)
    runs = [
        _run(pk, draft, invocation, run, plan, now)
        for pk, run, plan in zip(run_pks, draft.runs, plans, strict=True)
    ]
    live = [
        _live_run(run, invocation, plan, draft.definition, concurrency_key=drafted.concurrency_key)
        for run, plan, drafted in zip(runs, plans, draft.runs, strict=True)
        if not plan.status
    ]
    listeners = _listeners(draft, invocation) if live else ()
    return Composed(invocation=invocation, runs=runs, live=live, listeners=listeners)


def _invocation(pk: int, draft: Draft, plans: Sequence[Plan], now: datetime) -> Invocation:
    """The record of the request, with its idempotency key taken."""
    request = draft.request
    invocation = Invocation(
        pk=pk,
        environment=request.environment,
        automation=draft.automation,
        version_id=draft.version_id,
        definition=dict(draft.definition.source) if draft.automation is None else None,
        data=dict(request.data),
        source=request.source,
        dialect=request.dialect,
        actor=request.actor,
        tags=list(request.tags),
        tenant=request.tenant,
        performer=request.performer,
        request_id=request.request_id if request.idempotency_key is not None else None,
        skips_delays=request.skips_delays,
        run_count=len(draft.runs),
        created_at=now,
        answer=answer_of(draft, [plan.status or "waiting" for plan in plans]),
    )
    invocation.take_key(
        request.idempotency_key, fingerprint=request.fingerprint, now=now, until=now + request.key_kept,
        environment=request.environment, dialect=request.dialect,
    )  # fmt: skip
    return invocation


def _listeners(draft: Draft, invocation: Invocation) -> Sequence[Listener]:
    """By what an event finds runs whose definition came with the request; those of versions were stored with them."""
    if draft.automation is not None:
        return ()
    return listeners_of(draft.definition, environment=invocation.environment, invocation=invocation)


def answer_of(draft: Draft, statuses: Sequence[str]) -> list[dict[str, Any]]:
    """The first 100 runs as the caller is told of them; stored, so that a replay says the same."""
    return [
        {
            "id": str(run.uid),
            "status": status,
            "recipient": run.recipient,
            "cancellation_token": run.token,
            "cancellation_key": draft.request.key,
        }
        for run, status in zip(draft.runs[:LISTED], statuses, strict=False)
    ]


def invoked_event(
    run: New, *, plan: Plan, folded: Sequence[Mapping[str, Any]], now: datetime, replay: Replay | None = None
) -> Entry:
    """The first event of a run: where it rests first, and the steps carried out on the way."""
    data: dict[str, Any] = {"position": plan.position, "due_at": plan.due_at.isoformat()}
    if replay is not None:
        data |= {"replay_of": str(replay.run.uid), "from_step": int(replay.start)}
    if folded:
        data["folded"] = list(folded)
    return Entry(run_id=run.pk, at=now, kind=EventKind.INVOKED, data=data)


def called_off(draft: Draft, composed: Composed, *, now: datetime) -> list[models.Model]:
    """What those of the runs leave that were born under a hold, to be inserted after their first events."""
    born = [
        (run.pk, drafted.held_by, drafted.concurrency_key)
        for run, drafted in zip(composed.runs, draft.runs, strict=True)
    ]
    on_cancel = draft.definition.on_cancel
    return called_off_at_birth(born, position=draft.start, on_cancel=on_cancel, now=now)


STATE = """
SELECT (
  SELECT published_id FROM automations_automation WHERE id = %s AND disabled_at IS NULL AND archived_at IS NULL
), EXISTS (SELECT 1 FROM automations_recipient WHERE environment_id = %s)
"""


def questions(draft: Draft) -> list[Statement]:
    """What is asked behind the gate: primary keys for the invocation and its runs; and, which disabling takes the gate
    exclusively to change, the automation's state once more, and whether the environment knows of recipients by now."""
    if draft.automation is None and not draft.presumes_no_profiles:
        return [drawing(*_wanted(draft))]
    automation_id = draft.automation.pk if draft.automation is not None else None
    return [Kept(STATE, [automation_id, draft.request.environment.pk]), drawing(*_wanted(draft))]


def _wanted(draft: Draft) -> list[Wanted]:
    return [(Invocation, 1), (Run, len(draft.runs))]


def _keys_if_unchanged(draft: Draft, answers: Sequence[Rows]) -> list[list[int]]:
    """The primary keys among the answers to those questions."""
    *states, keys = answers
    for ((published_id, inhabited),) in states:
        # A replay keeps its version, whatever was published since.
        same = published_id is not None and (draft.replay is not None or published_id == draft.version_id)
        if draft.automation is not None and not same:
            forget_automation(draft.automation)
            raise ChangedMeanwhile
        if inhabited and draft.presumes_no_profiles:
            is_inhabited(draft.request.environment.pk)
            raise ChangedMeanwhile
    return drawn(keys, *_wanted(draft))


class ChangedMeanwhile(Exception):
    """The automation, or what is known of the recipients, changed since it was prepared: prepare again."""


def _run(pk: int, draft: Draft, invocation: Invocation, run: RunDraft, plan: Plan, now: datetime) -> New:
    ended: dict[str, Any] = {}
    if plan.status:
        ended = {
            "status": plan.status, "status_reason": plan.status_reason, "has_errors": plan.has_errors,
            "finished_at": now, "cancellation_id": run.held_by and run.held_by.pk,
        }  # fmt: skip
    return row_of(
        Run,
        id=pk,
        uid=run.uid,
        environment_id=draft.request.environment.pk,
        invocation_id=invocation.pk,
        automation_id=draft.automation and draft.automation.pk,
        version_id=draft.version_id,
        recipient=run.recipient,
        profile=run.scope.profile,
        source=draft.request.source,
        token=run.token,
        token_error=run.token_error,
        key=draft.request.key,
        created_at=now,
        parent_id=draft.parent_id,
        replay_of=draft.replay.run.uid if draft.replay is not None else None,
        **ended,
    )


def _live_run(
    run: New, invocation: Invocation, plan: Plan, definition: Definition, *, concurrency_key: str | None
) -> New:
    return row_of(
        LiveRun,
        run_id=run.pk,
        uid=run.uid,
        environment_id=run.environment_id,
        automation_id=run.automation_id,
        invocation_id=invocation.pk,
        parent_id=run.parent_id,
        recipient=run.recipient,
        source=run.source,
        tags=invocation.tags or None,
        tenant=invocation.tenant,
        token=run.token,
        key=run.key,
        concurrency_key=concurrency_key,
        created_at=run.created_at,
        due_at=plan.due_at,
        position=plan.position,
        on_cancel=definition.on_cancel,
    )
