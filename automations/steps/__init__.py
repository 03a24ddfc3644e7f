"""Performs steps: one module per action; pure steps are the machine's own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, InterfaceError

from automations import expressions
from automations.definition import Send, SendList, Step, Unreadable
from automations.expressions import ExpressionError
from automations.steps import cancel, invoke, send, send_list, unreadable, update_profile
from automations.steps.base import Ask, Attempt, Outcome, owner_of

__all__ = [
    "EFFECTS",
    "RECORDS",
    "Ask",
    "Attempt",
    "Outcome",
    "cancel",
    "invoke",
    "owner_of",
    "perform_effect",
    "update_profile",
]

EFFECTS: dict[str, Callable[[Any, Attempt], Outcome]] = {
    Send.action: send.perform, SendList.action: send_list.perform, Unreadable.action: unreadable.perform,
}  # fmt: skip
RECORDS = {"cancel": cancel.errands, "invoke": invoke.bear, "update-profile": update_profile.write}

log = logging.getLogger(__name__)


def perform_effect(step: Step, attempt: Attempt) -> Outcome:
    """The outcome of one attempt of an effect step; raises nothing.

    Its `if` is evaluated here, after the start was committed: a cancel meanwhile lists the step as in flight.
    """
    try:
        if step.condition is not None:
            holds = expressions.check_condition(step.condition, attempt.scope, owner=attempt.owner)
            if not holds:
                return Outcome(status="skipped", reason="condition_false")
        return EFFECTS[step.action](step, attempt)
    except (DatabaseError, InterfaceError, TimeoutError) as error:  # of what a step looked up
        log.warning("step %s of run %s could not look something up: %s", step.name, attempt.run, error)
        return Outcome.failed("unavailable", "the database did not answer", retryable=True)
    except ExpressionError as error:  # before anything was sent
        if error.starved:
            return Outcome(status="starved")
        return Outcome.failed(error.kind, error.message, retryable=error.retryable, paths=list(error.paths))
    except Exception as error:  # a step's own fault must not take its worker's other steps down
        log.exception("step %s of run %s", step.name, attempt.run)
        return Outcome.failed("internal", f"{type(error).__name__}: {error}", retryable=True)
