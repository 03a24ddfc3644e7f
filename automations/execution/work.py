"""Carries runs forward: starts due steps, performs their effects, and writes back what came of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError

from automations import machine, steps
from automations.definition import Kind
from automations.execution import faults
from automations.execution.holding import without_record_steps
from automations.execution.late import settle_late
from automations.execution.tasks import Done, Task, tasks_of
from automations.machine import Plan
from automations.models import (
    Ending,
    Entry,
    Environment,
    EventKind,
    LiveRun,
    LiveState,
    Move,
    Passage,
    answers,
    gate,
    insert,
    labels_of_bars,
    owed,
    retried,
    suspects,
)
from automations.models.statements import Rows, Statement, fetch
from automations.steps import Ask, Attempt
from automations.steps.cancel import Errands
from automations.steps.invoke import Birth, Family
from automations.testpoints import testpoint


class NotAllHeld(Exception):
    """Some run of the batch was cancelled or taken back meanwhile; nothing of the turn was written."""


# The database is away, or a row of it for the moment; or what a lock holds was not held. It is no run's own fault.
PASSED_ON = (OperationalError, InterfaceError, NotAllHeld)
log = logging.getLogger(__name__)


def lease() -> timedelta:
    return timedelta(seconds=settings.LEASE_SECONDS)


def perform(task: Task, *, ask: Ask = answers) -> Done:
    """Performs the step the task was started for and plans what follows; raises nothing, writes nothing. `ask`
    looks up what few steps need of the database."""
    step = task.step
    if step is None or step.kind is not Kind.EFFECT:
        now = task.now()
        plan = faults.advance(task, position=task.claim.position, scope=task.scope(now), now=now)
        return Done(task=task, outcome=None, plan=plan)
    attempt = Attempt(
        run=task.run,
        run_id=task.claim.run_id,
        environment_id=task.claim.environment_id,
        number=task.claim.attempt,
        recipient=task.claim.recipient,
        scope=task.scope(task.now()),
        deadline=task.started + step.timeout.total_seconds(),
        ask=ask,
    )
    testpoint("effect.begins")
    outcome = steps.perform_effect(step, attempt)
    testpoint("effect.ended")
    now = task.now()
    if outcome.status == "starved":
        return Done(task=task, outcome=None, plan=machine.starved(step=step, now=now))
    if outcome.status == "failed":
        plan = machine.after_failure(
            step=step, attempt=task.claim.attempt, retryable=outcome.retryable, now=now
        )
        return Done(task=task, outcome=outcome, plan=plan)
    following = task.definition.after(task.claim.position)
    scope = task.scope(now)
    if step.ref:
        status = "SENT" if outcome.status == "completed" else "SKIPPED"
        scope = scope._replace(refs={**task.refs, step.ref: {"status": status}})
    plan = faults.advance(task, position=following, scope=scope, now=now)
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

    A task whose plan holds a record step is a transaction of its own; and each, where something of one of them cannot
    be stored.
    """
    alone = [item for item in done if item.stands_alone]
    for item in alone:
        _turn_singly(environment, item)
    together = [item for item in done if not item.stands_alone] if alone else done
    if not together and not room:
        return []
    try:
        return _turn(environment=environment, done=together, room=room, worker=worker, late=late)
    except PASSED_ON:
        raise
    except Exception:
        if not together:
            raise
        log.exception("%s steps could not be written back together", len(together))
    for item in together:
        _turn_singly(environment, item)
    return _turn(environment=environment, done=[], room=room, worker=worker, late=late) if room else []


def _turn_singly(environment: Environment, item: Done) -> None:
    """Writes back one task in a transaction of its own; or, where it cannot be, that its run has failed."""
    if (fault := _fault_in(environment, item)) is None:
        return
    for instead in faults.failed(item, fault):
        if (fault := _fault_in(environment, instead)) is None:
            return
    raise fault


def _fault_in(environment: Environment, item: Done) -> Exception | None:
    """Writes back one task; gives what kept it from being written."""
    try:
        _turn_alone(environment, item)
    except PASSED_ON:
        raise
    except Exception as error:
        log.exception("a step of run %s could not be written back", item.task.run)
        return error
    return None


def _turn_alone(environment: Environment, item: Done) -> None:
    """Writes back one task with the children that its plan orders."""
    task = item.task

    def write(plan: Plan, births: Sequence[Birth]) -> None:
        _run_errands(environment, item._replace(plan=plan, births=births))

    family = Family(environment=environment, claim=task.claim, data=task.data, profile=task.profile)
    steps.invoke.carry_out(item.plan, family=family, write=write)


def _run_errands(environment: Environment, item: Done) -> None:
    """Writes back a task whose plan holds cancel steps; those that are for many runs place bars."""
    errands = steps.cancel.errands([item.plan], environment=environment)
    errands.carry_out(lambda: _turn(environment=environment, done=[item], errands=errands, room=0))


def _turn(*, environment: Environment, done: Sequence[Done], **given: Any) -> list[Task]:
    """Supposes that all runs are still held, as they nearly always are; looks at each only where one is not."""
    if done:
        testpoint("finish.begins")
    try:
        return _transact(environment, done, look=False, **given)
    except NotAllHeld:
        return _transact(environment, done, look=True, **given)


@retried
def _transact(
    environment: Environment,
    done: Sequence[Done],
    *,
    errands: Errands | None = None,
    look: bool,
    **start: Any,
) -> list[Task]:
    # Before the database's clock is read, so that no deadline here is the later one.
    started = time.monotonic()
    errands = errands or Errands(environment=environment, scopes={})
    bears = any(item.births for item in done)
    beside = [*(counts := errands.counts()), *_look_for_bars(environment)]
    with gate(environment_id=environment.pk, exclusive=errands.places, beside=beside, bears=bears) as passage:
        errands.begin(passage.rows[: len(counts)])
        bars = _labels(environment, passage.barred, passage.rows[len(counts) :])
        if done:
            _write_back(environment, done, errands, passage=passage, bars=bars, look=look)
            testpoint("finish.moved")
        tasks = _start(environment, passage=passage, bars=bars, started=started, **start)
    if done:
        testpoint("finish.committed")
    if tasks:
        testpoint("start.committed")
    return tasks


def _look_for_bars(environment: Environment) -> list[Statement]:
    """What to ask beside the gate, where bars stood the last time: it saves a round trip."""
    return [labels_of_bars(environment.pk)] if environment.pk in _beside_bars else []


def _labels(environment: Environment, barred: bool, seen: Sequence[Rows]) -> list[str]:
    """The labels of the bars that stand; `seen` is the answer where it was asked for beside the gate."""
    if not barred:
        _beside_bars.discard(environment.pk)
        return []
    _beside_bars.add(environment.pk)
    (rows,) = seen or fetch(_look_for_bars(environment))
    return [label for (label,) in rows]


_beside_bars: set[int] = set()  # the environments in which this process last saw bars


def _write_back(
    environment: Environment,
    done: Sequence[Done],
    errands: Errands,
    *,
    passage: Passage,
    bars: Sequence[str],
    look: bool,
) -> None:
    steps.invoke.take_turns(environment, [birth for item in done for birth in item.births])
    if passage.held:
        done = without_record_steps(done, now=passage.now)
    if bars and LiveRun.objects.give_to_bars(suspects([item.task.claim for item in done], bars)):
        look = True
    planned = [item._replace(plan=item.plan.at(passage.now)) for item in done]
    if errands.holds:  # over the children that are born after it
        passage = passage._replace(holds=True)
    _finish(environment, planned, errands, passage=passage, look=look)


def _start(
    environment: Environment,
    *,
    passage: Passage,
    bars: Sequence[str],
    started: float,
    room: int,
    **start: Any,
) -> list[Task]:
    if not room:
        return []
    claims = LiveRun.objects.start(
        environment_id=environment.pk, limit=room, lease=lease(), now=passage.now, bars=bars,
        held=passage.held, **start,
    )  # fmt: skip
    tasks = tasks_of(claims, started=started)
    testpoint("start.moved")
    return tasks


def _finish(
    environment: Environment, done: Sequence[Done], errands: Errands, *, passage: Passage, look: bool
) -> None:
    """running -> where the plan says; from cancelling nothing follows; a stale worker changes only the log.

    NotAllHeld when some run was not running under its fence any more and nobody was to `look` which.
    """
    now = passage.now
    born = steps.invoke.of_parents((item.task.claim, item.plan) for item in done)
    waiting = LiveRun.objects.awaiting([(child.run_id, child.parent_id) for child in born])
    moving, stopping, late = _sorted(done) if look else (done, (), ())
    if LiveRun.objects.finish([_move(item) for item in moving], now=now) != len(moving):
        raise NotAllHeld
    if stopping:
        LiveRun.objects.let_go(item.task.claim for item in stopping if item.outcome is not None)
        LiveRun.objects.let_go(
            (item.task.claim for item in stopping if item.outcome is None), of_effects=False
        )
    events = [_ended(item, _fold(errands, item, passage), now) for item in moving]
    events += [_ended(item, [], now, stopped=True) for item in stopping]
    ended = [Ending(item.task.claim.run_id, item.plan.status) for item in moving if item.plan.status]
    told = owed(ended, environment_id=environment.pk, at=now)
    insert([*(event for event in events if event is not None), *told])
    if waiting:
        gone = {ending.run_id for ending in ended}
        LiveRun.objects.wake(waiting, [child for child in born if child.run_id in gone], now=now)
    if passage.holds:  # perhaps over a child, where it was born
        bearing = [item.task.claim.run_id for item in moving if item.births]
        LiveRun.objects.filter(pk__in=bearing).wake_left(now=now)
    for item in late:
        settle_late(item, now=now)
    steps.update_profile.write(
        ((item.task.claim, item.task.profile, item.plan) for item in moving),
        environment_id=environment.pk,
        now=now,
    )


def _sorted(done: Sequence[Done]) -> tuple[list[Done], list[Done], list[Done]]:
    """Those still running, those being cancelled, and those taken back; the first two locked."""
    held = LiveRun.objects.hold(item.task.claim for item in done)
    by_state: dict[str | None, list[Done]] = {LiveState.RUNNING: [], LiveState.CANCELLING: [], None: []}
    for item in done:
        claim = item.task.claim
        by_state[held.get((claim.run_id, claim.fence))].append(item)
    return by_state[LiveState.RUNNING], by_state[LiveState.CANCELLING], by_state[None]


def _attempts_made(item: Done) -> int:
    """At the step at which the run goes on."""
    plan, claim = item.plan, item.task.claim
    if item.outcome is not None and item.outcome.status == "failed" and plan.status is None:
        return claim.attempt
    if plan.starved and plan.position == claim.position:  # that was none: the next one has the same number
        return claim.attempt - 1
    return 0


def _move(item: Done) -> Move:
    plan, claim = item.plan, item.task.claim
    return Move(
        run_id=claim.run_id,
        fence=claim.fence,
        position=plan.position,
        due_at=plan.due_at,
        attempt=_attempts_made(item),
        status=plan.status,
        status_reason=plan.status_reason,
        has_errors=plan.has_errors,
    )


def _fold(errands: Errands, item: Done, passage: Passage) -> list[dict[str, Any]]:
    """Carries out the plan's cancel steps, and bears its children, after its own run was moved; what the log says
    of the steps."""
    claim = item.task.claim
    folded = errands.fold(item.plan, invocation_id=claim.invocation_id, run=item.task.run, now=passage.now)
    born = steps.invoke.bear(item.births, passage=passage)
    return [{**told, "run": born[told["step"]]} if told["step"] in born else told for told in folded]


def _ended(item: Done, folded: list[dict[str, Any]], now: datetime, *, stopped: bool = False) -> Entry | None:
    """The event that ends the step; for a run that was being cancelled (`stopped`) nothing follows, no other
    attempt either."""
    outcome, claim, step = item.outcome, item.task.claim, item.task.step
    data: dict[str, Any] = {"fence": claim.fence}
    if folded:
        data["folded"] = folded
    if outcome is None or step is None:
        if not folded:
            return None
        return Entry(run_id=claim.run_id, at=now, kind=EventKind.ADVANCED, data=data)
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
    return Entry(run_id=claim.run_id, at=now, kind=kind, step=step.name, attempt=claim.attempt, data=data)


_KINDS = {
    "completed": EventKind.STEP_COMPLETED, "skipped": EventKind.STEP_SKIPPED, "failed": EventKind.STEP_FAILED,
}  # fmt: skip


@retried
def renew(*, environment: Environment, tasks: Sequence[Task]) -> None:
    """Prolongs the leases of tasks still being performed."""
    testpoint("renew.begins")
    with gate(environment_id=environment.pk) as (now, *_):
        LiveRun.objects.renew([task.claim for task in tasks], lease=lease(), now=now)
