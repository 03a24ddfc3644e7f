"""Carries out `send`: one message to one recipient."""

from __future__ import annotations

from automations import expressions
from automations.channels import DeliveryError
from automations.definition import Send
from automations.models import About
from automations.steps.base import Attempt, Outcome
from automations.steps.letter import Addressee, Letter
from automations.testpoints import testpoint


def perform(step: Send, attempt: Attempt) -> Outcome:
    """Delivers the step's message once. ExpressionError when one of its fields cannot be evaluated."""
    try:
        letter = Letter(step, attempt)
        addressee = _addressee(step, attempt)
        testpoint("effect.sends")
        output = letter.deliver(addressee)
    except DeliveryError as error:
        return Outcome.failed("delivery", error.message, retryable=error.retryable, **error.detail)
    return Outcome(
        status="completed", output=output, warnings=[warning.message for warning in letter.warnings]
    )


def _addressee(step: Send, attempt: Attempt) -> Addressee:
    """The run's recipient with the run's profile, or the one that the step names with the stored one."""
    own = Addressee(id=attempt.recipient, profile=attempt.scope.profile)
    if step.recipient is None:
        return own
    named = expressions.resolve_token(step.recipient, attempt.scope, owner=attempt.owner)
    if named == attempt.recipient:
        return own
    return Addressee(id=named, profile=attempt.look_up(About.PROFILE, named))
