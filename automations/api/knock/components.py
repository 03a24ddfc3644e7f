"""What the bodies and answers of Knock's API are made of, by name; other members of a request mean nothing."""

from __future__ import annotations

from automations.api.knock.recipients import LONGEST_ID
from automations.api.knock.statuses import WORDS
from automations.api.schemas import (
    COUNT,
    FLAG,
    MOMENT,
    OBJECT,
    TEXT,
    UID,
    Schema,
    answer,
    either,
    listed,
    nullable,
    one_of,
    ref,
    request_of,
    text,
    whole,
)
from automations.invocation import MOST_RECIPIENTS
from automations.models import EventKind

_REFERENCE = either(TEXT, answer({"id": TEXT, "collection": TEXT}))
_SHARED: dict[str, Schema] = {
    "actor": ref("Recipient"),
    "tenant": ref("Recipient"),
    "data": OBJECT,
    "settings": request_of(maybe={"skip_delay": FLAG, "sandbox_mode": {"const": False}}, strict=False),
}
_TO: dict[str, Schema] = {"recipients": listed(ref("Recipient"), MOST_RECIPIENTS, least=1)}
_KEY, _NAME = text(255), {"name": text(LONGEST_ID)}
_RUN: dict[str, Schema] = {
    "__typename": {"const": "WorkflowRecipientRun"},
    "id": UID,
    "workflow": TEXT,
    "workflow_run_id": UID,
    "recipient": nullable(_REFERENCE),
    "actor": nullable(_REFERENCE),
    "tenant": nullable(TEXT),
    "status": one_of(*WORDS),
    "error_count": COUNT,
    "trigger_source": answer({"type": {"const": "api"}}, {"cancellation_key": TEXT}),
    "inserted_at": MOMENT,
    "updated_at": MOMENT,
}

COMPONENTS: dict[str, Schema] = {
    "Problem": answer(
        {
            "code": TEXT, "message": TEXT, "status": whole(400, 599),
            "type": one_of(
                "invalid_request_error", "authentication_error", "authorization_error", "rate_limit_error",
                "api_error",
            ),
        },
        {"errors": listed(answer({"type": TEXT, "field": TEXT, "message": TEXT}), least=1)},
    ),
    "Recipient": either(
        text(LONGEST_ID),
        {
            **request_of({"id": text(LONGEST_ID)}, {"collection": text(LONGEST_ID)}, strict=False),
            "description": "Whatever else it says is the recipient's profile.",
        },
    ),
    "Trigger": request_of(_TO, {**_SHARED, "cancellation_key": _KEY}, strict=False),
    "Notify": request_of(
        {**_NAME, **_TO}, {**_SHARED, "cancellation_key": _KEY, "cancelation_key": _KEY}, strict=False
    ),
    "Cancel": request_of({"cancellation_key": _KEY}, _TO, strict=False),
    "CancelNotify": request_of(
        _NAME, {**_TO, "cancellation_key": _KEY, "cancelation_key": _KEY}, strict=False
    ),
    "Triggered": answer({"workflow_run_id": UID}),
    "Run": answer(_RUN),
    "Runs": answer({
        "items": listed(ref("Run"), 50),
        "page_info": answer({
            "__typename": {"const": "PageInfo"}, "after": nullable(TEXT), "before": {"type": "null"},
            "page_size": whole(1, 50),
        }),
    }),
    "RunWithEvents": answer({
        **_RUN,
        "events": listed(
            answer({
                "__typename": {"const": "WorkflowRecipientRunEvent"}, "id": TEXT,
                "event": one_of(*EventKind.values), "status": one_of("ok", "error"), "inserted_at": MOMENT,
                "step_ref": nullable(TEXT), "step_type": nullable(TEXT), "attempt": nullable(COUNT),
                "data": OBJECT,
            })
        ),
    }),
}  # fmt: skip
