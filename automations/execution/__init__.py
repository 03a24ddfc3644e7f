"""The verb *execute*: accepts invokes, starts and finishes steps, and keeps house."""

from automations.execution import roster
from automations.execution.accept import Accepted, accept
from automations.execution.housekeeping import keep_house, tidy
from automations.execution.on_cancel import start_what_follows
from automations.execution.work import Done, Task, lease, perform, renew, turn
from automations.models import what_is_due

__all__ = [
    "Accepted",
    "Done",
    "Task",
    "accept",
    "keep_house",
    "lease",
    "perform",
    "renew",
    "roster",
    "start_what_follows",
    "tidy",
    "turn",
    "what_is_due",
]
