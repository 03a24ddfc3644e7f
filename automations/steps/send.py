"""Carries out `send`: interpolates the message and hands it to its channel."""

from __future__ import annotations

from typing import Any

from automations import channels, expressions
from automations.definition import Send
from automations.expressions import FieldWarning
from automations.steps.base import Attempt, Outcome
from automations.testpoints import testpoint


def perform(step: Send, attempt: Attempt) -> Outcome:
    """Delivers the step's message once. ExpressionError when one of its fields cannot be evaluated."""
    warnings: list[FieldWarning] = []
    fields = expressions.resolve_tree(
        {
            "title": step.title,
            "body": step.body,
            "to": step.to,
            "recipient": step.recipient,
            "data": step.data,
        },
        attempt.scope,
        warnings=warnings,
    )
    message = channels.Message(
        run=attempt.run,
        step=step.name,
        recipient=_text(fields["recipient"]) or attempt.recipient,
        title=_text(fields["title"]) or "",
        body=_text(fields["body"]) or "",
        to=fields["to"],
        template=step.template,
        data=fields["data"],
    )
    try:
        channel = channels.channel_of(channel=step.channel, to=message.to)
        testpoint("effect.sends")
        output = channels.deliver(channel, message, deadline=attempt.deadline)
    except channels.DeliveryError as error:
        return Outcome.failed("delivery", error.message, retryable=error.retryable, **error.detail)
    return Outcome(status="completed", output=output, warnings=[warning.message for warning in warnings])


def _text(value: Any) -> str | None:
    """A resolved field as text; a number keeps its digits."""
    return None if value is None else str(value)
