"""Accepts an invoke: one transaction that stores the runs and carries out their heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError

from automations import concurrency, invocation, machine
from automations.definition import Cancel
from automations.invocation import ChangedMeanwhile, Composed, Draft, InvokeRequest
from automations.machine import Plan
from automations.models import (
    Ending,
    Event,
    Invocation,
    LiveRun,
    No,
    Refusal,
    WebhookDelivery,
    gate,
    identify,
    insert,
    owed,
    retried,
    serialise,
)
from automations.steps import cancel
from automations.testpoints import testpoint

PREPARATIONS = 3


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """An acknowledged invocation and whether this is the replay of an earlier answer."""

    invocation: Invocation
    replayed: bool

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The first 100 runs: id, status, recipient, cancellation_token, cancellation_key."""
        return list(self.invocation.answer or ())


def accept(
    request: InvokeRequest, *, prepare: Callable[[InvokeRequest], Draft] = invocation.prepare
) -> Accepted:
    """The stored invocation; its commit is the acknowledgement. Refusal when nothing was stored.

    Steps before the first effect are carried out in the same transaction, so an ad hoc cancel has cancelled
    when this returns.
    """
    if (before := invocation.earlier(request)) is not None:
        return Accepted(invocation=before, replayed=True)
    for _ in range(PREPARATIONS):
        draft = prepare(request)
        plans = [
            machine.advance(
                definition=draft.definition,
                position=draft.start,
                scope=run.scope,
                now=draft.now,
                owner=request.owner,
            )
            for run in draft.runs
        ]
        _refuse_if_starved(plans)
        testpoint("invoke.prepared")
        try:
            accepted = Accepted(invocation=_store(draft, plans), replayed=False)
        except ChangedMeanwhile:
            continue
        except IntegrityError:
            if (before := invocation.earlier(request)) is None:  # not the idempotency key's constraint
                raise
            return Accepted(invocation=before, replayed=True)
        testpoint("invoke.committed")
        return accepted
    raise Refusal(No.UNAVAILABLE, "changed_meanwhile", "the automation is being changed; try again")


@retried
def _store(draft: Draft, plans: list[Plan]) -> Invocation:
    request = draft.request
    tokens = [token for plan in plans for _, token in plan.cancels()]
    words = [*tokens, *_labels(draft)] if tokens else []
    words += concurrency.words(draft)
    with gate(environment_id=request.environment.pk) as (now, barred, *_):
        if words:  # else two invokes of "cancel the previous, then start mine" would miss each other
            serialise(environment_id=request.environment.pk, words=words)
        plans = [plan.at(now) for plan in plans]
        composed = invocation.invoke(draft, plans=plans, now=now)
        concurrency.make_way(draft, composed.invocation, now=now, barred=barred)
        if tokens:
            insert(composed.rows())
            insert([*_events(draft, composed, plans, now), *_owed(composed, now)])
        else:
            insert([*composed.rows(), *_events(draft, composed, plans, now), *_owed(composed, now)])
        identify(draft.identified, environment_id=request.environment.pk, now=now)
        if any(
            isinstance(step, Cancel) and step.include_self for plan in plans for step, _ in plan.cancels()
        ):
            _correct_answer(composed)
    return composed.invocation


def _events(draft: Draft, composed: Composed, plans: list[Plan], now: datetime) -> list[Event]:
    """Carries out the heads' cancel steps; the first event of each run says what came of them."""
    stored, done = composed.invocation, dict[tuple[str, str], dict[str, Any]]()
    events = [
        invocation.invoked_event(
            run, plan=plan, now=now, replay=draft.replay, folded=cancel.fold(
                plan, environment=stored.environment, invocation_id=stored.pk, run=str(run.uid), now=now,
                done=done,
            ),
        )
        for run, plan in zip(composed.runs, plans, strict=True)
    ]  # fmt: skip
    if draft.replay is not None:
        events += draft.replay.events(composed.runs[0], actor=draft.request.actor, now=now)
    return events


def _owed(composed: Composed, now: datetime) -> list[WebhookDelivery]:
    """What webhook endpoints are to be told of runs that ended where they began."""
    ended = [Ending(run.pk, run.status, run.cancellation_id) for run in composed.runs if run.status]
    return owed(ended, environment_id=composed.invocation.environment_id, at=now)


def _labels(draft: Draft) -> list[str]:
    """Every token and key the runs will bear."""
    labels = {run.token for run in draft.runs} | {draft.request.key}
    return [label for label in labels if label is not None]


def _correct_answer(composed: Composed) -> None:
    """Runs that cancelled themselves are answered as cancelled."""
    pks = [run.pk for run in composed.runs]
    gone = set(LiveRun.objects.filter(pk__in=pks).exclude(cancellation=None).values_list("pk", flat=True))
    for run, told in zip(composed.runs, composed.invocation.answer or (), strict=False):
        told["status"] = "cancelled" if run.pk in gone else told["status"]
    Invocation.objects.filter(pk=composed.invocation.pk).update(answer=composed.invocation.answer)


def _refuse_if_starved(plans: list[Plan]) -> None:
    """A head whose evaluator was starved is not stored half-planned: the caller tries again."""
    if any(plan.starved for plan in plans):
        raise Refusal(No.UNAVAILABLE, "busy", "an expression could not be evaluated now; try again")
