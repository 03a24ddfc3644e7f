"""Gives a waiting run another time: later, sooner, or now."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import prefetch_related_objects

from automations.definition import LONGEST_DELAY
from automations.models import (
    Environment,
    Event,
    EventKind,
    LiveRun,
    LiveState,
    Refusal,
    Rescheduled,
    Run,
    definition_of_run,
    gate,
    insert,
    retried,
)

NOW = timedelta()


@retried
def reschedule(*, environment: Environment, run: Run, when: datetime | timedelta, actor: str) -> Run:
    """The run with its new due time, as it stood when that was written; `when` is a moment (UTC), or how long
    from now, at most 366 days ahead. A moment that has passed means now.

    A run whose automation is held is given another time and waits on; now is refused (`held`).
    Refusal `not_waiting`, which names the run's real status, when there is nothing to move, and `awaits_child` for
    one that goes on as soon as its child has ended, and not before.
    """
    with gate(environment_id=environment.pk) as (now, barred, _, held, *_):
        if barred:
            LiveRun.objects.give_to_bars([run.pk])
        if held and when == NOW and LiveRun.objects.filter(state=LiveState.WAITING).of_held([run.pk]):
            message = "its automation is held: the run goes on when it is enabled, and not before"
            raise Refusal.at("", "held", message)
        due_at = now + when if isinstance(when, timedelta) else when
        if due_at - now > LONGEST_DELAY:
            raise Refusal.at("/due_at", "too_far", "a run may wait for at most 366 days")
        done = LiveRun.objects.within(environment.pk).reschedule(run_id=run.pk, due_at=due_at, now=now)
        stands = Run.objects.with_state().get(pk=run.pk)
        if done is None and stands.awaits_child:
            message = "the run waits for its child to end; cancel the child, and it goes on"
            raise Refusal.at("", "awaits_child", message)
        if done is None:
            message = f"the run is {stands.public_status}; only a run that waits can be given another time"
            raise Refusal.at("", "not_waiting", message)
        if done.due_at != done.was_due_at:
            insert([_event(stands, done, actor=actor, now=now)])
        prefetch_related_objects([stands], "events")
    return stands


def _event(run: Run, done: Rescheduled, *, actor: str, now: datetime) -> Event:
    step = definition_of_run(run).step_at(done.position)
    data = {
        "actor": actor, "position": done.position, "was_due_at": done.was_due_at.isoformat(),
        "due_at": done.due_at.isoformat(),
    }  # fmt: skip
    return Event(run=run, at=now, kind=EventKind.RESCHEDULED, step=step.name if step else "", data=data)
