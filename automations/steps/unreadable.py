"""Fails what stands in a definition that cannot be read any more."""

from __future__ import annotations

from automations.definition import Unreadable
from automations.steps.base import Attempt, Outcome


def perform(step: Unreadable, attempt: Attempt) -> Outcome:
    """The failure, which no other attempt would spare."""
    return Outcome.failed("invalid_definition", step.fault, retryable=False)
