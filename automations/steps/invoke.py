"""Carries out `invoke`: children are prepared before the transaction of their run, and stored in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from automations import concurrency, invocation
from automations.definition import Invoke, Step
from automations.expressions import MAX_DEPTH, MAX_DOCUMENT, is_too_deep, size_of
from automations.invocation import ChangedMeanwhile, Draft, InvokeRequest, Recipient
from automations.machine import START, STARVED_PAUSE, Order, Plan
from automations.models import (
    Claim,
    Descent,
    Ended,
    Environment,
    Invocation,
    LiveRun,
    No,
    Passage,
    Refusal,
    ancestors_of,
    generation_of,
    insert,
    serialise,
)
from automations.steps.base import Refused
from automations.testpoints import testpoint

DIALECT = "step"
PREPARATIONS = 3
MOST_GENERATIONS = 10  # an automation that invokes itself would go on for ever


@dataclass(frozen=True, kw_only=True)
class Birth:
    """A child ready to be stored, and the runs with which it is called off; `is_awaited` by its parent."""

    step: Invoke
    draft: Draft
    ancestors: Sequence[int]
    is_awaited: bool


@dataclass(frozen=True, kw_only=True)
class Family:
    """The run that bears children: what it is known by, and what it hands on."""

    environment: Environment
    claim: Claim
    data: Any
    profile: Any


def prepare(plan: Plan, *, family: Family) -> tuple[Plan, tuple[Birth, ...]]:
    """The children that the plan orders, ready to be stored; and the plan, cut off at the first that cannot be:
    there its run fails, or, where trying again may help, rests for a second."""
    births: list[Birth] = []
    for step, order in plan.orders():
        try:
            births.append(_prepare(step, order, family=family))
        except Refusal as refusal:
            return refused(plan, step, refusal), tuple(births)
    return plan, tuple(births)


def carry_out(plan: Plan, *, family: Family, write: Callable[[Plan, Sequence[Birth]], None]) -> None:
    """Writes the plan with its children; prepared anew when what they were prepared by has changed meanwhile, and
    without what is refused, such as a child that another run stands in the way of."""
    for _ in range(PREPARATIONS):
        plan, births = prepare(plan, family=family)
        try:
            write(plan, births)
            return
        except Refused as error:
            plan = refused(plan, error.step, error.refusal)
        except ChangedMeanwhile:
            continue
    first = next((step for step, _ in plan.orders()), None)
    write(plan if first is None else later(plan, first), ())


def refused(plan: Plan, step: Step, refusal: Refusal) -> Plan:
    """The plan, which ends at that step."""
    if refusal.kind is No.UNAVAILABLE:
        return later(plan, step)
    return plan.failed_at(step, code=refusal.code, message=refusal.message)


def later(plan: Plan, step: Step) -> Plan:
    """The plan up to that step, which is tried again in a second."""
    return plan.cut_off(step)._replace(due_at=plan.now + STARVED_PAUSE)


def _prepare(step: Invoke, order: Order, *, family: Family) -> Birth:
    claim = family.claim
    if generation_of(claim.run_id, most=MOST_GENERATIONS) >= MOST_GENERATIONS:
        message = f"{MOST_GENERATIONS} runs in a row were started by one another"
        raise Refusal(No.INVALID, "too_deep", message)
    data = family.data if order.data is None else _checked("data", order.data)
    recipient = order.recipient or claim.recipient
    profile = family.profile if recipient == claim.recipient else {}  # of another one what is stored
    if order.profile is not None:
        profile = _checked("profile", order.profile)
    request = InvokeRequest(
        environment=family.environment,
        actor=f"run/{claim.uid}",
        source=f"run/{claim.uid}",
        dialect=DIALECT,
        automation=order.template,
        by_alias=True,
        recipients=[Recipient(id=recipient)],
        data=data,
        profile=profile,
        tenant=Invocation.objects.values_list("tenant", flat=True).get(pk=claim.invocation_id),
    )
    draft = replace(invocation.prepare(request), parent_id=claim.run_id)
    ancestors = [*ancestors_of(claim.run_id), claim.run_id] if step.follows else []
    return Birth(step=step, draft=draft, ancestors=ancestors, is_awaited=step.wait)


def _checked(name: str, value: Any) -> Any:
    """A value that is neither deeper nor larger than what an invoke may bring."""
    if is_too_deep(value):
        message = f"“{name}” may have at most {MAX_DEPTH} levels"
        raise Refusal(No.INVALID, f"{name}_too_deep", message)
    if size_of(value) > MAX_DOCUMENT:
        raise Refusal(No.INVALID, f"{name}_too_large", f"“{name}” may have at most 256 KiB")
    return value


def of_parents(moves: Iterable[tuple[Claim, Plan]]) -> list[Ended]:
    """Those of the runs that were started by another one and end here, if they are still held."""
    return [
        Ended(claim.run_id, claim.uid, claim.parent_id, plan.status)
        for claim, plan in moves
        if plan.status and claim.parent_id is not None
    ]


def take_turns(environment: Environment, births: Iterable[Birth]) -> None:
    """Before the transaction's first write: what compares the same concurrency keys waits for one another."""
    if words := [word for birth in births for word in concurrency.words(birth.draft)]:
        serialise(environment_id=environment.pk, words=words)


def bear(births: Iterable[Birth], *, passage: Passage) -> dict[str, str]:
    """Stores the children, in the transaction that has moved their parent; the public id of each by its step's
    name. Each waits at its first step, due now, unless it is born under a hold. Refused, or ChangedMeanwhile, when
    one cannot be."""
    born: dict[str, str] = {}
    now = passage.now
    for birth in births:
        waits = Plan(position=START, due_at=now, now=now)
        draft, plans = invocation.under_holds(birth.draft, [waits], held=passage.holds, now=now)
        composed = invocation.invoke(draft, plans=plans, now=now)
        try:
            concurrency.make_way(draft, composed.invocation, now=now, barred=passage.barred)
        except Refusal as refusal:
            raise Refused(birth.step, refusal) from refusal
        (run,) = composed.runs
        descents = [Descent(ancestor_id=pk, run_id=run.pk) for pk in birth.ancestors]
        told = invocation.invoked_event(run, plan=plans[0], folded=[], now=now)
        insert([*composed.rows(), *descents, told, *invocation.called_off(draft, composed, now=now)])
        testpoint("child.born")
        if birth.is_awaited and birth.draft.parent_id is not None:
            LiveRun.objects.await_child(run_id=birth.draft.parent_id, child_id=run.pk)
        born[birth.step.name] = str(run.uid)
    return born
