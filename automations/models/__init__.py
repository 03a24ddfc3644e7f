"""The records (docs/architecture.md); `LiveRun` is the one door to a run's state."""

from automations.models.api_key import SCOPES, WORKSPACE, ApiKey
from automations.models.audit import AuditEntry, address_asked_from, asked_from, audit, audit_of_runs
from automations.models.automation import (
    KEY_PATTERN,
    RESERVED_KEYS,
    Automation,
    DisableMode,
    Version,
    automation_named,
)
from automations.models.cancellation import (
    HELD,
    Cancellation,
    Origin,
    covered,
    standing,
    uid_parameter,
    uid_text,
)
from automations.models.cancellation_filter import CancellationFilter, due_before
from automations.models.contact import LONGEST_ADDRESS, Contact
from automations.models.definitions import (
    definition_of,
    definition_of_run,
    definition_of_version,
    inputs_of,
    outcomes_of_run,
    own_of,
    steps_of_run,
)
from automations.models.descent import (
    BORN,
    PARENT_CANCELLED,
    Descent,
    ancestors_of,
    below_one_of,
    beneath,
    generation_of,
    has_children,
    reached,
    spared,
)
from automations.models.due import Due, what_is_due
from automations.models.environment import DEFAULT_ENVIRONMENT, ENVIRONMENT_KEY, Environment
from automations.models.event import Entry, Event, EventKind
from automations.models.filter_names import keys_named
from automations.models.gate import Passage, clock, database_now, gate, retried, serialise
from automations.models.holds import Holds, Newborn, called_off_at_birth, what_cannot_hold
from automations.models.invocation import JOURNEYS, Invocation
from automations.models.kept import Kept
from automations.models.listener import UNFINISHED, Listener, listeners_of
from automations.models.live_run import LiveRun, LiveState
from automations.models.live_run_bars import (
    COUNTED_FINISHED,
    Hit,
    counting,
    counting_ended,
    is_restoring,
    labels_of_bars,
    restoring,
)
from automations.models.live_run_moves import LATE_AFTER, Claim, Move, suspects
from automations.models.live_run_times import Rescheduled
from automations.models.live_run_trees import Ended
from automations.models.message_template import MESSAGE_KEY, MessageTemplate, Wording
from automations.models.occurrence import Occurrence
from automations.models.on_cancel import OnCancelStart
from automations.models.overdue import Overdue
from automations.models.prepared import database_name, is_prepared, unprepared
from automations.models.provider import Provider, forget_signing_secrets, kept_signing_secrets
from automations.models.questions import About, Answers, Question, answers
from automations.models.recipient import (
    LONGEST_RECIPIENT,
    MOST_MEMBERS,
    Recipient,
    RecipientList,
    change_profiles,
    check_size,
    identify,
    profiles_of,
)
from automations.models.refusal import No, Refusal
from automations.models.run import Run, RunQuerySet
from automations.models.run_status import FINAL, RunStatus
from automations.models.sealing import Unsealable, resealed, seal, unseal
from automations.models.statements import again_if_lost, insert
from automations.models.token_probe import runs_with
from automations.models.uid import first_uid, new_uid
from automations.models.user import Role, User
from automations.models.webhook import (
    KEPT_SECONDS,
    RUN_EVENTS,
    TEST_EVENT,
    Ending,
    WebhookDelivery,
    WebhookEndpoint,
    forget_endpoints,
    owed,
)
from automations.models.worker import SILENT_AFTER, Worker

__all__ = [
    "BORN",
    "COUNTED_FINISHED",
    "DEFAULT_ENVIRONMENT",
    "ENVIRONMENT_KEY",
    "FINAL",
    "HELD",
    "JOURNEYS",
    "KEPT_SECONDS",
    "KEY_PATTERN",
    "LATE_AFTER",
    "LONGEST_ADDRESS",
    "LONGEST_RECIPIENT",
    "MESSAGE_KEY",
    "MOST_MEMBERS",
    "PARENT_CANCELLED",
    "RESERVED_KEYS",
    "RUN_EVENTS",
    "SCOPES",
    "SILENT_AFTER",
    "TEST_EVENT",
    "UNFINISHED",
    "WORKSPACE",
    "About",
    "Answers",
    "ApiKey",
    "AuditEntry",
    "Automation",
    "Cancellation",
    "CancellationFilter",
    "Claim",
    "Contact",
    "Descent",
    "DisableMode",
    "Due",
    "Ended",
    "Ending",
    "Entry",
    "Environment",
    "Event",
    "EventKind",
    "Hit",
    "Holds",
    "Invocation",
    "Kept",
    "Listener",
    "LiveRun",
    "LiveState",
    "MessageTemplate",
    "Move",
    "Newborn",
    "No",
    "Occurrence",
    "OnCancelStart",
    "Origin",
    "Overdue",
    "Passage",
    "Provider",
    "Question",
    "Recipient",
    "RecipientList",
    "Refusal",
    "Rescheduled",
    "Role",
    "Run",
    "RunQuerySet",
    "RunStatus",
    "Unsealable",
    "User",
    "Version",
    "WebhookDelivery",
    "WebhookEndpoint",
    "Wording",
    "Worker",
    "address_asked_from",
    "again_if_lost",
    "ancestors_of",
    "answers",
    "asked_from",
    "audit",
    "audit_of_runs",
    "automation_named",
    "below_one_of",
    "beneath",
    "called_off_at_birth",
    "change_profiles",
    "check_size",
    "clock",
    "counting",
    "counting_ended",
    "covered",
    "database_name",
    "database_now",
    "definition_of",
    "definition_of_run",
    "definition_of_version",
    "due_before",
    "first_uid",
    "forget_endpoints",
    "forget_signing_secrets",
    "gate",
    "generation_of",
    "has_children",
    "identify",
    "inputs_of",
    "insert",
    "is_prepared",
    "is_restoring",
    "kept_signing_secrets",
    "keys_named",
    "labels_of_bars",
    "listeners_of",
    "new_uid",
    "outcomes_of_run",
    "owed",
    "own_of",
    "profiles_of",
    "reached",
    "resealed",
    "restoring",
    "retried",
    "runs_with",
    "seal",
    "serialise",
    "spared",
    "standing",
    "steps_of_run",
    "suspects",
    "uid_parameter",
    "uid_text",
    "unprepared",
    "unseal",
    "what_cannot_hold",
    "what_is_due",
]
