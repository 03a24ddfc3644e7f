"""Carries runs forward: starts due steps, performs their effects, and writes back what came of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from automations import machine, steps
from automations.definition import DEFAULT_TIMEOUT, Definition, Kind, Step
from automations.expressions import Scope
from automations.machine import Plan
from automations.models import (
    LATE_AFTER,
    Claim,
    Ending,
    Environment,
    Event,
    EventKind,
    LiveRun,
    LiveState,
    Move,
    Run,
    definition_of,
    gate,
    inputs_of,
    insert,
    owed,
    retried,
)
from automations.steps import Attempt, Outcome
from automations.steps.invoke import Birth, Family
from automations.testpoints import testpoint

OVERDUE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """A started attempt with all it needs to be performed without the database.

    `started` is the time.monotonic() of the start, so that a clock that is off harms nothing.
    """

    claim: Claim
    definition: Definition
    data: Any
    profile: Any
    refs: dict[str, Any]
    started: float

    @property
    def run(self) -> str:
        """The run's public id."""
        return self.claim.uid

    @property
    def step(self) -> Step | None:
        return self.definition.step_at(self.claim.position)

    @property
    def is_late(self) -> bool:
        """Whether it was long overdue when it was started."""
        return self.claim.started_at - self.claim.due_at >= LATE_AFTER

    def now(self) -> datetime:
        """The database's clock, as far as this process can tell without asking."""
        return self.claim.started_at + timedelta(seconds=time.monotonic() - self.started)

    @property
    def is_overdue(self) -> bool:
        """Whether its hard deadline passed seconds ago: whoever performs it is stuck and will lose it."""
        seconds = (self.step.timeout if self.step else DEFAULT_TIMEOUT).total_seconds()
        return time.monotonic() > self.started + seconds + OVERDUE_SECONDS

    def scope(self) -> Scope:
        return Scope(data=self.data, profile=self.profile, refs=self.refs, now=self.now(), seed=self.run)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A performed task: what came of its effect (None where there was none), where the run goes, and the children
    that it bears on the way."""

    task: Task
    outcome: Outcome | None
    plan: Plan
    births: Sequence[Birth] = ()

    @property
    def stands_alone(self) -> bool:
        """Whether its transition is a transaction of its own: it calls other runs off, or bears some."""
        return any(carried.token is not None or carried.order is not None for carried in self.plan.carried)


def lease() -> timedelta:
    return timedelta(seconds=settings.LEASE_SECONDS)


def perform(task: Task) -> Done:
    """Performs the step the task was started for and plans what follows; raises nothing, writes nothing."""
    step = task.step
    if step is None or step.kind is not Kind.EFFECT:
        plan = machine.advance(
            definition=task.definition, position=task.claim.position, scope=task.scope(), now=task.now(),
            bears=True,
        )  # fmt: skip
        return Done(task=task, outcome=None, plan=plan)
    attempt = Attempt(
        run=task.run,
        recipient=task.claim.recipient,
        scope=task.scope(),
        deadline=task.started + step.timeout.total_seconds(),
    )
    testpoint("effect.begins")
    outcome = steps.perform_effect(step, attempt)
    testpoint("effect.ended")
    if outcome.status == "failed":
        plan = machine.after_failure(
            step=step, attempt=task.claim.attempt, retryable=outcome.retryable, now=task.now()
        )
        return Done(task=task, outcome=outcome, plan=plan)
    following = task.definition.after(task.claim.position)
    scope = task.scope()
    if step.ref:
        status = "SENT" if outcome.status == "completed" else "SKIPPED"
        scope = scope._replace(refs={**task.refs, step.ref: {"status": status}})
    plan = machine.advance(
        definition=task.definition, position=following, scope=scope, now=task.now(), bears=True
    )
    return Done(task=task, outcome=outcome, plan=plan)


def turn(
    *,
    environment: Environment,
    done: Sequence[Done],
    room: int,
    worker: int | None = None,
    late: int | None = None,
) -> list[Task]:
    """Writes back finished tasks and starts at most `room` due ones for the worker (primary key), in one
    transaction with one clock; of those long overdue at most `late` (None: as they come).

    A task whose plan holds a cancel step, or bears children, is a transaction of its own.
    """
    alone = [item for item in done if item.stands_alone]
    for item in alone:
        _turn_alone(environment, item)
    together = [item for item in done if not item.stands_alone] if alone else done
    if not together and not room:
        return []
    return _turn(environment=environment, done=together, room=room, worker=worker, late=late)


def _turn_alone(environment: Environment, item: Done) -> None:
    """Writes back one task with the children that its plan orders."""
    task = item.task

    def write(plan: Plan, births: Sequence[Birth]) -> None:
        _turn(environment=environment, done=[replace(item, plan=plan, births=births)], room=0)

    family = Family(environment=environment, claim=task.claim, data=task.data, profile=task.profile)
    steps.invoke.carry_out(item.plan, family=family, write=write)


def _turn(*, environment: Environment, done: Sequence[Done], **start: Any) -> list[Task]:
    """Supposes that all runs are still held, as they nearly always are; looks at each only where one is not."""
    if done:
        testpoint("finish.begins")
    try:
        return _transact(environment, done, look=False, **start)
    except NotAllHeld:
        return _transact(environment, done, look=True, **start)


class NotAllHeld(Exception):
    """Some run of the batch was cancelled or taken back meanwhile; nothing of the turn was written."""


@retried
def _transact(
    environment: Environment, done: Sequence[Done], *, look: bool, room: int, **start: Any
) -> list[Task]:
    tasks: list[Task] = []
    started = (
        time.monotonic()
    )  # before the database's clock is read, so that no deadline here is the later one
    with gate(environment_id=environment.pk) as (now, barred, _):
        if done:
            steps.invoke.take_turns(environment, [birth for item in done for birth in item.births])
            if barred and LiveRun.objects.give_to_bars([item.task.claim.run_id for item in done]):
                look = True
            _finish(
                environment,
                [replace(item, plan=item.plan.at(now)) for item in done],
                now=now,
                look=look,
                barred=barred,
            )
            testpoint("finish.moved")
        if room:
            claims = LiveRun.objects.start(
                environment_id=environment.pk, limit=room, lease=lease(), now=now, barred=barred, **start
            )
            tasks = _tasks(claims, started=started)
            testpoint("start.moved")
    if done:
        testpoint("finish.committed")
    if tasks:
        testpoint("start.committed")
    return tasks


def _tasks(claims: Sequence[Claim], *, started: float) -> list[Task]:
    """The claims with what their steps need; `started` is a time.monotonic()."""
    if not claims:
        return []
    inputs = inputs_of(claim.invocation_id for claim in claims)
    runs = Run.objects.filter(pk__in=[claim.run_id for claim in claims])
    rows = {pk: row for pk, *row in runs.values_list("pk", "version_id", "profile")}
    tasks = []
    for claim in claims:
        version_id, profile = rows[claim.run_id]
        data, brought = inputs[claim.invocation_id]
        definition = brought or definition_of(version_id=version_id, invocation_id=claim.invocation_id)
        tasks.append(
            Task(
                claim=claim, definition=definition, data=data, profile=profile, refs=_refs(definition, claim),
                started=started,
            )
        )  # fmt: skip
    return tasks


def _refs(definition: Definition, claim: Claim) -> dict[str, Any]:
    """What `refs` holds besides data and profile: the recipient, and the status of earlier steps that others
    refer to; the log is read only for definitions that have such steps."""
    refs: dict[str, Any] = {"recipient": claim.recipient}
    by_name = {step.name: step.ref for step in definition.steps if step.ref}
    if by_name:
        kinds = (*STEP_STATUS, EventKind.CARRIED, EventKind.CHILD_ENDED)
        ended = Event.objects.filter(run_id=claim.run_id, step__in=by_name, kind__in=kinds).order_by("pk")
        said = ended.values_list("step", "kind", "data__outcome", "data__run", "data__status")
        for step, kind, outcome, run, status in said:
            if kind == EventKind.CHILD_ENDED:
                refs[by_name[step]] = {"run": run, "status": status}
                continue
            known = f"step_{outcome}" if kind == EventKind.CARRIED else kind
            refs[by_name[step]] = {"status": STEP_STATUS[known]}
    return refs


STEP_STATUS: dict[str, str] = {
    EventKind.STEP_COMPLETED: "SENT", EventKind.STEP_SKIPPED: "SKIPPED", EventKind.STEP_FAILED: "UNDELIVERABLE",
}  # fmt: skip


def _finish(
    environment: Environment, done: Sequence[Done], *, now: datetime, look: bool, barred: bool
) -> None:
    """running -> where the plan says; from cancelling nothing follows; a stale worker changes only the log.

    NotAllHeld when some run was not running under its fence any more and nobody was to `look` which.
    """
    born = steps.invoke.of_parents((item.task.claim, item.plan) for item in done)
    waiting = LiveRun.objects.awaiting([(child.run_id, child.parent_id) for child in born])
    moving, stopping, late = _sorted(done) if look else (done, (), ())
    if LiveRun.objects.finish([_move(item) for item in moving], now=now) != len(moving):
        raise NotAllHeld
    if stopping:
        LiveRun.objects.let_go(item.task.claim for item in stopping)
    events = [_ended(item, _fold(environment, item, now, barred=barred), now) for item in moving]
    events += [_ended(item, [], now, stopped=True) for item in stopping]
    ended = [Ending(item.task.claim.run_id, item.plan.status) for item in moving if item.plan.status]
    told = owed(ended, environment_id=environment.pk, at=now)
    insert([*(event for event in events if event is not None), *told])
    if waiting:
        gone = {ending.run_id for ending in ended}
        LiveRun.objects.wake(waiting, [child for child in born if child.run_id in gone], now=now)
    for item in late:
        _settle_late(item, now=now)


def _sorted(done: Sequence[Done]) -> tuple[list[Done], list[Done], list[Done]]:
    """Those still running, those being cancelled, and those taken back; the first two locked."""
    held = LiveRun.objects.hold(item.task.claim for item in done)
    by_state: dict[str | None, list[Done]] = {LiveState.RUNNING: [], LiveState.CANCELLING: [], None: []}
    for item in done:
        claim = item.task.claim
        by_state[held.get((claim.run_id, claim.fence))].append(item)
    return by_state[LiveState.RUNNING], by_state[LiveState.CANCELLING], by_state[None]


def _move(item: Done) -> Move:
    plan, claim = item.plan, item.task.claim
    again = item.outcome is not None and item.outcome.status == "failed" and plan.status is None
    return Move(
        run_id=claim.run_id,
        fence=claim.fence,
        position=plan.position,
        due_at=plan.due_at,
        attempt=claim.attempt if again else 0,
        status=plan.status,
        status_reason=plan.status_reason,
        has_errors=plan.has_errors,
    )


def _fold(environment: Environment, item: Done, now: datetime, *, barred: bool) -> list[dict[str, Any]]:
    """Carries out the plan's cancel steps, and bears its children, after its own run was moved; what the log says
    of the steps."""
    folded = steps.cancel.fold(
        item.plan,
        environment=environment,
        invocation_id=item.task.claim.invocation_id,
        run=item.task.run,
        now=now,
    )
    born = steps.invoke.bear(item.births, now=now, barred=barred)
    return [{**told, "run": born[told["step"]]} if told["step"] in born else told for told in folded]


def _ended(item: Done, folded: list[dict[str, Any]], now: datetime, *, stopped: bool = False) -> Event | None:
    """The event that ends the step; for a run that was being cancelled (`stopped`) nothing follows, no other
    attempt either."""
    outcome, claim, step = item.outcome, item.task.claim, item.task.step
    data: dict[str, Any] = {"fence": claim.fence}
    if folded:
        data["folded"] = folded
    if outcome is None or step is None:
        if not folded:
            return None
        return Event(run_id=claim.run_id, at=now, kind=EventKind.ADVANCED, data=data)
    kind = _KINDS[outcome.status]
    if outcome.status == "failed" and item.plan.status is None and not stopped:
        kind = EventKind.STEP_RETRIED
    data |= {
        "started_at": claim.started_at.isoformat(),
        "position": item.plan.position,
        "due_at": item.plan.due_at.isoformat(),
    }
    for name in ("output", "error", "reason"):
        if (value := getattr(outcome, name)) is not None:
            data[name] = value
    if outcome.warnings:
        data["warnings"] = list(outcome.warnings)
    return Event(run_id=claim.run_id, at=now, kind=kind, step=step.name, attempt=claim.attempt, data=data)


_KINDS = {
    "completed": EventKind.STEP_COMPLETED, "skipped": EventKind.STEP_SKIPPED, "failed": EventKind.STEP_FAILED,
}  # fmt: skip


def _settle_late(item: Done, *, now: datetime) -> None:
    """The answer of a worker whose attempt was taken back: it settles that attempt and is logged, no more."""
    claim, outcome, step = item.task.claim, item.outcome, item.task.step
    row = LiveRun.objects.filter(pk=claim.run_id).select_for_update().first()
    if row is not None:
        LiveRun.objects.settle(row, fences=[claim.fence])
    if outcome is not None and step is not None:
        Event.objects.create(
            run_id=claim.run_id, at=now, kind=EventKind.LATE_RESULT, step=step.name, attempt=claim.attempt,
            data={
                "fence": claim.fence, "started_at": claim.started_at.isoformat(), "outcome": outcome.status,
                "output": outcome.output, "error": outcome.error,
            },
        )  # fmt: skip


@retried
def renew(*, environment: Environment, tasks: Sequence[Task]) -> None:
    """Prolongs the leases of tasks still being performed."""
    testpoint("renew.begins")
    with gate(environment_id=environment.pk) as (now, *_):
        LiveRun.objects.renew([task.claim for task in tasks], lease=lease(), now=now)
