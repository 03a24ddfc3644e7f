"""The verb *execute*: accepts invokes, starts and finishes steps, and keeps house."""

from automations.execution.accept import Accepted, accept
from automations.execution.housekeeping import beat, keep_house, tidy
from automations.execution.work import Done, Task, lease, perform, renew, turn
from automations.models import seconds_to_due

__all__ = [
    "Accepted",
    "Done",
    "Task",
    "accept",
    "beat",
    "keep_house",
    "lease",
    "perform",
    "renew",
    "seconds_to_due",
    "tidy",
    "turn",
]
