"""Carries out `cancel`, inside the transaction of its own run's transition."""

from __future__ import annotations

from datetime import datetime

from automations import cancellation
from automations.cancellation import CancelRequest
from automations.definition import Cancel
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
