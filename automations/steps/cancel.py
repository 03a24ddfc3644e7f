"""Carries out `cancel`, inside the transaction of its own run's transition."""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import datetime
from typing import Any

from automations import cancellation
from automations.cancellation import CancelRequest
from automations.definition import Cancel
from automations.machine import Plan
from automations.models import Cancellation, CancellationFilter, Environment, Origin


def perform(
    step: Cancel, *, token: str, environment: Environment, invocation_id: int, actor: str, now: datetime
) -> Cancellation:
    """Cancels what the token or key names, except runs of the same invocation unless the step includes them:
    recipients that share a token would cancel one another (PROTOCOL, invoke 5)."""
    scope = CancellationFilter(token=token, not_invocation_id=None if step.include_self else invocation_id)
    request = CancelRequest(
        environment=environment, filter=scope, actor=actor, origin=Origin.STEP, reason=step.reason
    )
    return cancellation.carry_out(request, now=now)


Folded = MutableMapping[tuple[str, str], dict[str, Any]]
"""What came of the cancel steps carried out so far, by the step's name and its token."""


def fold(
    plan: Plan,
    *,
    environment: Environment,
    invocation_id: int,
    run: str,
    now: datetime,
    done: Folded | None = None,
) -> list[dict[str, Any]]:
    """Carries out the plan's cancel steps, in the transaction that moves its `run` (public id); what the log
    says of every step of the plan.

    Plans of one invocation share `done`, so that each step and token is carried out once.
    """
    done = {} if done is None else done
    for step, token in plan.cancels():
        if (step.name, token) not in done:
            cancellation = perform(
                step, token=token, environment=environment, invocation_id=invocation_id, actor=f"run/{run}",
                now=now,
            )  # fmt: skip
            done[step.name, token] = {
                "cancellation": str(cancellation.pk), "cancelled": cancellation.cancelled
            }  # fmt: skip
    return [
        {**carried.as_json(), **done.get((carried.step.name, carried.token or ""), {})}
        for carried in plan.carried
    ]
