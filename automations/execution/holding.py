"""What a finish does for a run whose automation is held: the step that had started ends, and nothing follows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from automations.definition import Kind
from automations.machine import Plan
from automations.models import LiveRun

if TYPE_CHECKING:
    from automations.execution.tasks import Done


def without_record_steps(done: Sequence[Done], *, now: datetime) -> list[Done]:
    """The same, where runs of held automations rest before the record steps that their plans hold: to carry those
    out would be a start. Delays count from now on all the same, and a run that is at its end, ends."""
    found = [item.task.claim.run_id for item in done if _holds_record(item.plan)]
    held = LiveRun.objects.of_held(found) if found else set()
    return [_resting(item, now=now) if item.task.claim.run_id in held else item for item in done]


def _holds_record(plan: Plan) -> bool:
    return any(carried.step.kind is Kind.RECORD for carried in plan.carried)


def _resting(item: Done, *, now: datetime) -> Done:
    """At the step behind its effect; where there was none, where it is."""
    position = item.task.claim.position
    if item.outcome is not None:
        position = item.task.definition.after(position)
    return item._replace(plan=Plan(position=position, due_at=now, now=now), births=())
