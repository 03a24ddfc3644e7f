"""What an automation says: parsed and validated, owner of every action's fields and kind."""

from automations.definition.cancel_step import (
    CANNOT_HOLD,
    LONGEST_HOLD,
    LONGEST_REASON,
    LONGEST_TAG,
    Sought,
    sought,
)
from automations.definition.fields import DefinitionError, Problem, below
from automations.definition.parse import ACTIONS, in_our_words, parse, parse_kept
from automations.definition.rules import EVENT_LENGTH
from automations.definition.sends import CHANNEL_NAMES, WHEN, unsendable
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
    SendList,
    Step,
    Unreadable,
    UpdateProfile,
)
from automations.definition.times import FURTHEST_UNTIL, LONGEST_DELAY, parse_duration, parse_moment
from automations.definition.update_profile_step import merged

__all__ = [
    "ACTIONS",
    "CANNOT_HOLD",
    "CHANNEL_NAMES",
    "DEFAULT_TIMEOUT",
    "EVENT_LENGTH",
    "FURTHEST_UNTIL",
    "LONGEST_DELAY",
    "LONGEST_HOLD",
    "LONGEST_REASON",
    "LONGEST_TAG",
    "WHEN",
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
    "SendList",
    "Sought",
    "Step",
    "Unreadable",
    "UpdateProfile",
    "below",
    "in_our_words",
    "merged",
    "parse",
    "parse_duration",
    "parse_kept",
    "parse_moment",
    "sought",
    "unsendable",
]
