"""What a fault that nobody foresaw, such as a value that no database stores, does: it fails its run, and no more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from automations import machine
from automations.execution.tasks import Done, Task
from automations.expressions import Scope
from automations.machine import Plan
from automations.steps import Outcome

log = logging.getLogger(__name__)


def advance(task: Task, *, position: str, scope: Scope, now: datetime) -> Plan:
    """The machine's plan from that position on; raises nothing: where the machine fails, so does the step there."""
    try:
        return machine.advance(
            definition=task.definition, position=position, scope=scope, now=now, owner=task.owner, bears=True
        )
    except Exception as error:
        log.exception("run %s at position %s", task.run, position)
        return machine.broken(task.definition, position=position, message=said(error), now=now)


def failed(item: Done, error: Exception) -> Iterator[Done]:
    """What to write, one or else the other, in place of what could not be: that the step behind an effect failed, or
    that the effect itself did."""
    task, message = item.task, said(error)
    now, position = task.now(), task.claim.position
    broken = partial(machine.broken, task.definition, message=message, now=now)
    if item.outcome is None:
        yield Done(task, None, broken(position=position))
        return
    if item.outcome.status != "failed":
        yield Done(task, item.outcome, broken(position=task.definition.after(position)))
    outcome = Outcome.failed("internal", message, retryable=False)
    yield Done(task, outcome, machine.ended(position=position, status_reason="step_failed", now=now))


def said(error: Exception) -> str:
    """The fault in words: its kind and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'no more is known'}"
