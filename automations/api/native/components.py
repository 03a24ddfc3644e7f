"""What the native API's bodies and answers are made of, by name: the contract, as its OpenAPI document tells it."""

from __future__ import annotations

from automations.api.definitions import DEFINITION
from automations.api.schemas import (
    COUNT,
    FLAG,
    MOMENT,
    OBJECT,
    TEXT,
    UID,
    Schema,
    answer,
    listed,
    nullable,
    one_of,
    ref,
    whole,
)
from automations.invocation import LISTED
from automations.models import (
    RUN_EVENTS,
    TEST_EVENT,
    DisableMode,
    EventKind,
    Origin,
    Overdue,
    Provider,
    RunStatus,
    WebhookDelivery,
)

STATUS = one_of(*RunStatus.values)
STEP_STATUS = one_of("pending", "waiting", "running", "completed", "failed", "skipped", "cancelled")
OUTCOME = one_of(
    "completed_after_cancel", "failed_after_cancel", "skipped_after_cancel", "aborted", "unknown"
)  # fmt: skip
LABELS: dict[str, Schema] = {"cancellation_token": nullable(TEXT), "cancellation_key": nullable(TEXT)}
_EXPLAINED: dict[str, Schema] = {"hit": FLAG, "reason": TEXT, "sentence": TEXT, "details": OBJECT}

PROBLEM = answer(
    {
        "type": {"type": "string", "pattern": "^urn:countermand:problem:"},
        "title": TEXT,
        "status": whole(400, 599),
        "detail": TEXT,
        "instance": {**TEXT, "description": "The X-Request-ID of the request."},
        "errors": listed(answer({"pointer": TEXT, "code": TEXT, "message": TEXT}), least=1),
    },
    {"run": {**UID, "description": "The run that stands in the way (`already_running`)."}},
)

_AUTOMATION: dict[str, Schema] = {
    "key": TEXT,
    "alias": nullable(TEXT),
    "name": TEXT,
    "description": TEXT,
    "status": one_of("draft", "published", "archived"),
    "disabled": FLAG,
    "disable_mode": nullable(one_of(*DisableMode.values)),
    "disable_reason": nullable(TEXT),
    "published_version": nullable(COUNT),
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "updated_by": TEXT,
}
_WHOLE = {**_AUTOMATION, "draft": answer({"definition": OBJECT, "revision": COUNT})}
_IMPACT: dict[str, Schema] = {
    "dry_run": {"const": True},
    "waiting": COUNT,
    "running": COUNT,
    "overdue": COUNT,
    "by_version": listed(answer({"version": COUNT, "unfinished": COUNT})),
    "beneath": {
        **COUNT,
        "description": "Runs of other automations beneath them, called off with them by a cancel.",
    },
    "counted": FLAG,
}
_VERSION: dict[str, Schema] = {
    "version": COUNT,
    "note": TEXT,
    "published_at": MOMENT,
    "published_by": TEXT,
}
_INVOCATION: dict[str, Schema] = {
    "id": UID,
    "automation": nullable(TEXT),
    "version": nullable(COUNT),
    "source": TEXT,
    "run_count": COUNT,
    "runs": listed(
        answer(
            {"id": UID, "status": STATUS, "recipient": nullable(TEXT), **LABELS},
            {"supersedes": {**UID, "description": "The cancellation of the runs whose concurrency key it has."}},
        ),
        LISTED,
    ),
}  # fmt: skip
_RUN: dict[str, Schema] = {
    "id": UID,
    "invocation": UID,
    "automation": nullable(TEXT),
    "version": nullable(COUNT),
    "source": TEXT,
    "recipient": nullable(TEXT),
    **LABELS,
    "status": STATUS,
    "settling": FLAG,
    "held": FLAG,
    "status_reason": nullable(TEXT),
    "parent": nullable(UID),
    "replay_of": nullable(UID),
    "created_at": MOMENT,
    "due_at": nullable(MOMENT),
    "finished_at": nullable(MOMENT),
    "cancellation": nullable(
        answer({
            "id": UID, "at": MOMENT, "actor": TEXT, "origin": one_of(*Origin.values), "reason": nullable(TEXT),
        })
    ),
}  # fmt: skip
_IN_FLIGHT: dict[str, Schema] = {
    "run": UID,
    "step": TEXT,
    "action": TEXT,
    "attempt": COUNT,
    "started_at": MOMENT,
}
_RECEIPT: dict[str, Schema] = {
    "id": UID,
    "as_of": nullable(MOMENT),
    "actor": TEXT,
    "reason": nullable(TEXT),
    "filter": OBJECT,
    "matched": nullable(COUNT),
    "cancelled": nullable(COUNT),
    "cancelled_run_ids": listed(UID, 1_000),
    "already_finished": nullable(COUNT),
    "in_flight": listed(ref("InFlight")),
    "settled": FLAG,
    "counted": FLAG,
    "dry_run": {"const": False},
}
_SOMETIMES: dict[str, Schema] = {
    "at": MOMENT,
    "undo_until": MOMENT,
    "undone": answer({
        "at": MOMENT, "actor": TEXT, "restored": nullable(COUNT), "overdue": one_of(*Overdue.values),
    }),
}  # fmt: skip
_EVENT: dict[str, Schema] = {
    "id": UID,
    "name": TEXT,
    "recipient": nullable(TEXT),
    "actor": TEXT,
    "accepted_at": MOMENT,
    "cancelled": nullable(COUNT),
    "failed": COUNT,
}
_EVENT_WHOLE = {
    **_EVENT,
    "cancellations": listed(ref("Receipt")),
    "failures": listed(
        answer({"run": UID, "automation": nullable(TEXT), "rule": COUNT, "code": TEXT, "message": TEXT})
    ),
}  # fmt: skip
_LIST: dict[str, Schema] = {
    "key": TEXT,
    "name": nullable(TEXT),
    "member_count": COUNT,
    "created_at": MOMENT,
    "updated_at": MOMENT,
}
_MESSAGE_TEMPLATE: dict[str, Schema] = {
    "key": TEXT,
    "name": nullable(TEXT),
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "updated_by": TEXT,
}
_WORDING = answer({}, {"title": TEXT, "body": TEXT})
_PROVIDER: dict[str, Schema] = {
    "key": TEXT,
    "kind": one_of(*Provider.Kind.values),
    "service": nullable(TEXT),
    "created_at": MOMENT,
    "created_by": TEXT,
}
_WEBHOOK: dict[str, Schema] = {
    "id": UID,
    "url": TEXT,
    "events": listed(one_of(*RUN_EVENTS)),
    "description": nullable(TEXT),
    "disabled": FLAG,
    "disabled_at": nullable(MOMENT),
    "disabled_reason": nullable(TEXT),
    "failing_since": nullable(MOMENT),
    "old_secrets_until": nullable(MOMENT),
    "created_at": MOMENT,
    "created_by": TEXT,
}
_SECRET: Schema = {**TEXT, "description": "Told this once."}

COMPONENTS: dict[str, Schema] = {
    "Problem": PROBLEM,
    "Definition": DEFINITION,
    "AutomationSummary": answer(_AUTOMATION),
    "Automation": answer(_WHOLE),
    "Disabled": answer(
        _WHOLE, {"cancellation": nullable(ref("Receipt")), "in_flight": listed(ref("InFlight"))}
    ),
    "Impact": answer(_IMPACT),
    "PublishRehearsed": answer({"version": COUNT, **_IMPACT}),
    "Published": answer({"version": COUNT}, {"cancellation": nullable(ref("Receipt"))}),
    "Version": answer(_VERSION),
    "VersionWithDefinition": answer({**_VERSION, "definition": OBJECT}),
    "TokenPreview": answer(
        {
            "token": nullable(TEXT), "mode": one_of("literal", "refs", "javascript", "text"),
            "warnings": listed(TEXT), "unfinished_runs": COUNT,
        },
        {"error": answer({"kind": TEXT, "message": TEXT, "paths": listed(TEXT)})},
    ),
    "Invocation": answer(_INVOCATION),
    "InvocationStatus": answer({
        **_INVOCATION,
        "status": one_of(*RunStatus.values, "partially_cancelled", "completed_with_errors"),
        "counts": {"type": "object", "propertyNames": STATUS, "additionalProperties": COUNT},
    }),
    "Replayed": answer({**_INVOCATION, "replay_of": UID}),
    "RunSummary": answer(_RUN),
    "Step": answer({
        "index": COUNT, "id": TEXT, "action": TEXT, "status": STEP_STATUS, "attempts": COUNT,
        "due_at": nullable(MOMENT), "started_at": nullable(MOMENT), "finished_at": nullable(MOMENT),
        "output": {}, "error": {}, "skip_reason": nullable(TEXT), "outcome_after_cancel": nullable(OUTCOME),
    }),
    "Run": answer({
        **_RUN, "children": listed(UID, 100), "explain_cancel": TEXT, "steps": listed(ref("Step")),
    }),
    "RunEvent": answer({
        "id": TEXT, "at": MOMENT, "kind": one_of(*EventKind.values), "step": nullable(TEXT), "attempt": COUNT,
        "data": OBJECT,
    }),
    "InFlight": answer(_IN_FLIGHT),
    "Receipt": answer(_RECEIPT, _SOMETIMES),
    "FollowedReceipt": answer(
        {**_RECEIPT, "in_flight": listed(answer({**_IN_FLIGHT, "outcome": nullable(OUTCOME)}))},
        {**_SOMETIMES, "hold": answer({"until": MOMENT, "held": COUNT})},
    ),
    "DryRun": answer({
        **_RECEIPT, "id": {"type": "null"}, "dry_run": {"const": True}, "plan": TEXT,
        "by_automation": listed(answer({"automation": nullable(TEXT), "runs": COUNT})),
        "by_status": {"type": "object", "propertyNames": STATUS, "additionalProperties": COUNT},
        "sample": listed(
            answer({
                "id": UID, "automation": nullable(TEXT), "recipient": nullable(TEXT), **LABELS,
                "status": STATUS, "due_at": nullable(MOMENT),
            }),
            10,
        ),
    }),
    "CancelExplained": answer({"run": UID, "cancellation": nullable(UID), **_EXPLAINED}),
    "NearMisses": answer({
        "cancellation": UID,
        "items": listed(
            answer({
                "run": UID, "status": STATUS, "recipient": nullable(TEXT), **LABELS, "created_at": MOMENT,
                **_EXPLAINED,
            })
        ),
    }),
    "EventSummary": answer(_EVENT),
    "Event": answer(_EVENT_WHOLE),
    "EventWithData": answer({**_EVENT_WHOLE, "data": OBJECT}),
    "Recipient": answer({"id": TEXT, "profile": OBJECT, "created_at": MOMENT, "updated_at": MOMENT}),
    "ListSummary": answer(_LIST),
    "List": answer({**_LIST, "members": listed(TEXT)}),
    "MessageTemplateSummary": answer(_MESSAGE_TEMPLATE),
    "MessageTemplate": answer({
        **_MESSAGE_TEMPLATE, "title": TEXT, "body": TEXT,
        "channels": {"type": "object", "additionalProperties": _WORDING},
    }),
    "MessagePreview": answer({"title": TEXT, "body": TEXT, "warnings": listed(TEXT)}),
    "Provider": answer(_PROVIDER),
    "NewProvider": answer(_PROVIDER, {"secret": _SECRET}),
    "Webhook": answer(_WEBHOOK),
    "WebhookWithSecret": answer({**_WEBHOOK, "secret": _SECRET}),
    "Delivery": answer({
        "id": UID, "event": one_of(*RUN_EVENTS, TEST_EVENT), "run": nullable(UID), "at": MOMENT,
        "status": one_of(*WebhookDelivery.Status.values), "attempts": COUNT,
        "last_response_status": nullable(COUNT), "last_error": nullable(TEXT),
        "next_attempt_at": nullable(MOMENT),
        "log": listed(
            answer({
                "attempt": COUNT, "at": MOMENT, "milliseconds": nullable(COUNT), "status": nullable(COUNT),
                "error": nullable(TEXT), "answer": TEXT,
            })
        ),
    }),
    "Health": answer({"status": {"const": "ok"}}),
    "Unready": answer({"status": {"const": "unavailable"}, "reasons": listed(TEXT, least=1)}),
}  # fmt: skip
