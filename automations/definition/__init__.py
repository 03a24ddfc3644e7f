"""What an automation says: parsed and validated, owner of every action's fields and kind."""

from automations.definition.fields import DefinitionError, Problem
from automations.definition.parse import ACTIONS, CHANNEL_NAMES, parse
from automations.definition.rules import EVENT_LENGTH
from automations.definition.shape import (
    DEFAULT_TIMEOUT,
    Cancel,
    CancelRule,
    Concurrency,
    Definition,
    Delay,
    Invoke,
    Kind,
    Retry,
    Send,
    Step,
)
from automations.definition.times import FURTHEST_UNTIL, LONGEST_DELAY, parse_duration, parse_moment

__all__ = [
    "ACTIONS",
    "CHANNEL_NAMES",
    "DEFAULT_TIMEOUT",
    "EVENT_LENGTH",
    "FURTHEST_UNTIL",
    "LONGEST_DELAY",
    "Cancel",
    "CancelRule",
    "Concurrency",
    "Definition",
    "DefinitionError",
    "Delay",
    "Invoke",
    "Kind",
    "Problem",
    "Retry",
    "Send",
    "Step",
    "parse",
    "parse_duration",
    "parse_moment",
]
