"""The verb *execute*: accepts invokes, starts and finishes steps, and keeps house."""

from automations.execution import roster
from automations.execution.accept import Accepted, accept
from automations.execution.housekeeping import keep_house, tidy
from automations.execution.on_cancel import start_what_follows
from automations.execution.replay import ReplayRequest, replay
from automations.execution.rescheduling import NOW, reschedule
from automations.execution.tasks import Done, Task
from automations.execution.work import lease, perform, renew, turn
from automations.models import what_is_due

__all__ = [
    "NOW",
    "Accepted",
    "Done",
    "ReplayRequest",
    "Task",
    "accept",
    "keep_house",
    "lease",
    "perform",
    "renew",
    "replay",
    "reschedule",
    "roster",
    "start_what_follows",
    "tidy",
    "turn",
    "what_is_due",
]
