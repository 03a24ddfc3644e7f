"""The records (docs/architecture.md); `LiveRun` is the one door to a run's state."""

from automations.models.api_key import SCOPES, ApiKey
from automations.models.automation import KEY_PATTERN, RESERVED_KEYS, Automation, Version
from automations.models.cancellation import Cancellation, Origin, covered, standing, uid_parameter
from automations.models.cancellation_filter import CancellationFilter
from automations.models.definitions import definition_of, definition_of_run, inputs_of, steps_of_run
from automations.models.due import Due, what_is_due
from automations.models.environment import DEFAULT_ENVIRONMENT, Environment
from automations.models.event import Event, EventKind
from automations.models.gate import clock, database_now, gate, retried, serialise
from automations.models.invocation import Invocation
from automations.models.live_run import COUNTED_FINISHED, LiveRun, LiveState
from automations.models.live_run_bars import Cancelled
from automations.models.live_run_moves import LATE_AFTER, Claim, Move
from automations.models.live_run_times import Rescheduled
from automations.models.refusal import No, Refusal
from automations.models.run import Run, RunQuerySet
from automations.models.run_search import first_uid
from automations.models.run_status import FINAL, RunStatus
from automations.models.statements import draw, insert
from automations.models.token_probe import runs_with
from automations.models.uid import new_uid
from automations.models.user import Role, User
from automations.models.worker import Worker

__all__ = [
    "COUNTED_FINISHED",
    "DEFAULT_ENVIRONMENT",
    "FINAL",
    "KEY_PATTERN",
    "LATE_AFTER",
    "RESERVED_KEYS",
    "SCOPES",
    "ApiKey",
    "Automation",
    "Cancellation",
    "CancellationFilter",
    "Cancelled",
    "Claim",
    "Due",
    "Environment",
    "Event",
    "EventKind",
    "Invocation",
    "LiveRun",
    "LiveState",
    "Move",
    "No",
    "Origin",
    "Refusal",
    "Rescheduled",
    "Role",
    "Run",
    "RunQuerySet",
    "RunStatus",
    "User",
    "Version",
    "Worker",
    "clock",
    "covered",
    "database_now",
    "definition_of",
    "definition_of_run",
    "draw",
    "first_uid",
    "gate",
    "inputs_of",
    "insert",
    "new_uid",
    "retried",
    "runs_with",
    "serialise",
    "standing",
    "steps_of_run",
    "uid_parameter",
    "what_is_due",
]
