"""The verb *invoke*: prepares a request and writes its invocation, runs and live runs."""

from automations.invocation.holding import under_holds
from automations.invocation.preparation import concurrency_key_of, earlier, forget, prepare
from automations.invocation.request import (
    KEY_KEPT,
    LISTED,
    MOST_RECIPIENTS,
    Draft,
    InvokeRequest,
    Recipient,
    Replay,
    RunDraft,
)
from automations.invocation.storing import (
    ChangedMeanwhile,
    Composed,
    called_off,
    invoke,
    invoked_event,
    questions,
)

__all__ = [
    "KEY_KEPT",
    "LISTED",
    "MOST_RECIPIENTS",
    "ChangedMeanwhile",
    "Composed",
    "Draft",
    "InvokeRequest",
    "Recipient",
    "Replay",
    "RunDraft",
    "called_off",
    "concurrency_key_of",
    "earlier",
    "forget",
    "invoke",
    "invoked_event",
    "prepare",
    "questions",
    "under_holds",
]
