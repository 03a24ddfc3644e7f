"""Accepts an invoke: one transaction that stores the runs and carries out their heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError

from automations import concurrency, invocation, machine
from automations.invocation import ChangedMeanwhile, Composed, Draft, InvokeRequest
from automations.machine import Plan
from automations.models import (
    Contact,
    Ending,
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
from automations.models.statements import New
from automations.steps import cancel
from automations.steps.cancel import Errands
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


def _store(draft: Draft, plans: list[Plan]) -> Invocation:
    errands = cancel.errands(plans, environment=draft.request.environment)
    return errands.carry_out(lambda: _transact(draft, plans, errands))


@retried
def _transact(draft: Draft, plans: list[Plan], errands: Errands) -> Invocation:
    environment = draft.request.environment
    words = concurrency.words(draft)
    if errands:  # else two invokes of "cancel the previous, then start mine" would miss each other
        words += [label for label in errands.labels if label is not None] + _labels(draft)
    exclusive = errands.places or None in errands.labels  # such a filter may match whatever another brings
    counts = errands.counts()
    # Keys are not drawn before a turn has come: among the runs of one token they grow as these are stored.
    beside = [*counts, *([] if words else invocation.questions(draft))]
    with gate(environment_id=environment.pk, exclusive=exclusive, beside=beside, bears=True) as passage:
        now, answers = passage.now, passage.rows[len(counts) :]
        errands.begin(passage.rows[: len(counts)])
        if words and not exclusive:
            serialise(environment_id=environment.pk, words=words)
        draft, plans = invocation.under_holds(
            draft, [plan.at(now) for plan in plans], held=passage.holds, now=now
        )
        composed = invocation.invoke(draft, plans=plans, now=now, answers=answers)
        concurrency.make_way(draft, composed.invocation, now=now, barred=passage.barred)
        if errands:
            insert(composed.rows())
            insert([*_events(draft, composed, plans, errands, now), *_owed(composed, now)])
        else:
            insert([*composed.rows(), *_events(draft, composed, plans, errands, now), *_owed(composed, now)])
        identify(draft.identified, environment_id=environment.pk, now=now)
        Contact.objects.learn(environment=environment, known=draft.request.addresses)
        if any(step.include_self for plan in plans for step, _ in plan.cancels()):
            _correct_answer(composed, barred=bool(errands.bars))
    return composed.invocation


def _events(
    draft: Draft, composed: Composed, plans: list[Plan], errands: Errands, now: datetime
) -> list[New]:
    """Carries out the heads' cancel steps; the first event of each run says what came of them. Those that were
    called off where they were born have another, and what that leads to."""
    stored = composed.invocation
    events: list[New] = [
        invocation.invoked_event(
            run, plan=plan, now=now, replay=draft.replay,
            folded=errands.fold(plan, invocation_id=stored.pk, run=str(run.uid), now=now),
        )
        for run, plan in zip(composed.runs, plans, strict=True)
    ]  # fmt: skip
    if draft.replay is not None:
        events += draft.replay.events(composed.runs[0], actor=draft.request.actor, now=now)
    return [*events, *invocation.called_off(draft, composed, now=now)]


def _owed(composed: Composed, now: datetime) -> list[WebhookDelivery]:
    """What webhook endpoints are to be told of runs that ended where they began."""
    ended = [Ending(run.pk, run.status) for run in composed.runs if run.status and not run.cancellation_id]
    return owed(ended, environment_id=composed.invocation.environment_id, at=now)


def _labels(draft: Draft) -> list[str]:
    """Every token and key the runs will bear."""
    labels = {run.token for run in draft.runs} | {draft.request.key}
    return [label for label in labels if label is not None]


def _correct_answer(composed: Composed, *, barred: bool) -> None:
    """Runs that cancelled themselves are answered as cancelled, also those under a bar of their own."""
    pks = [run.pk for run in composed.runs]
    if barred:
        LiveRun.objects.give_to_bars(pks)
    gone = set(LiveRun.objects.filter(pk__in=pks).exclude(cancellation=None).values_list("pk", flat=True))
    for run, told in zip(composed.runs, composed.invocation.answer or (), strict=False):
        told["status"] = "cancelled" if run.pk in gone else told["status"]
    Invocation.objects.filter(pk=composed.invocation.pk).update(answer=composed.invocation.answer)


def _refuse_if_starved(plans: list[Plan]) -> None:
    """A head whose evaluator was starved is not stored half-planned: the caller tries again."""
    if any(plan.starved for plan in plans):
        raise Refusal(No.UNAVAILABLE, "busy", "an expression could not be evaluated now; try again")
