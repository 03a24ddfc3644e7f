"""What the bodies and answers of SuprSend's API are made of, by name; other members of a request mean nothing."""

from __future__ import annotations

from automations.api.schemas import (
    OBJECT,
    TEXT,
    UID,
    Schema,
    answer,
    either,
    listed,
    one_of,
    ref,
    request_of,
    text,
    whole,
)
from automations.api.suprsend.recipients import LONGEST_ID, MOST
from automations.models import LONGEST_ADDRESS

MOST_AT_ONCE = 100
_SHARED: dict[str, Schema] = {
    "actor": ref("Recipient"),
    "tenant_id": text(255),
    "brand_id": text(255),
    "cancellation_key": text(255),
    "$idempotency_key": text(255),
    "data": OBJECT,
}
_ERROR = answer({
    "message": TEXT,
    "type": one_of(
        "bad_request", "unauthorized", "forbidden", "not_found", "method_not_allowed", "request_too_large",
        "unsupported_media_type", "too_many_requests", "internal_error",
    ),
})  # fmt: skip
_PEOPLE = listed(ref("Recipient"), MOST, least=1)

COMPONENTS: dict[str, Schema] = {
    "Problem": either(
        answer({"code": whole(400, 599), "status": {"const": "error"}, "message": TEXT, "error": _ERROR}),
        answer({"code": {"const": 400}, "message": TEXT}),
    ),
    "Recipient": either(
        text(LONGEST_ID),
        {
            **request_of(maybe={"distinct_id": text(LONGEST_ID)}, strict=False),
            "description": "With `distinct_id`, else known by the first address in `$email`, `$sms` or `$whatsapp`; "
            "one of them, unless `is_transient`.",
        },
    ),
    "Workflow": request_of({"workflow": text(LONGEST_ID), "recipients": _PEOPLE}, _SHARED, strict=False),
    "DynamicWorkflow": {
        **request_of(
            {"name": text(LONGEST_ID), "template": text(255), "users": _PEOPLE},
            {
                **_SHARED,
                "delay": either(
                    {**text(200), "description": "Such as `1d2h3m4s`."},
                    {"type": "integer", "minimum": 0, "description": "Seconds."},
                ),
                "trigger_at": text(100),
            },
            strict=False,
        ),
        "description": "With `delay` or `trigger_at`, not both.",
        **either(*({"properties": {name: {"type": "null"}}} for name in ("delay", "trigger_at"))),
    },
    "Triggered": answer({"status": {"const": "success"}, "message_id": UID}),
    "TriggeredMany": answer({
        "status": {"const": "success"},
        "records": listed(
            either(
                answer({"status": {"const": "success"}, "status_code": {"const": 202}, "message_id": UID}),
                answer({"status": {"const": "error"}, "status_code": whole(400, 599), "error": _ERROR}),
            ),
            MOST_AT_ONCE,
            least=1,
        ),
    }),
    "Cancel": {
        **request_of(
            maybe={
                "execution_id": text(255), "recipients": listed(text(LONGEST_ADDRESS), 100),
                "idempotency_key": text(255), "workflow_slug": text(LONGEST_ID), "tenant_id": text(255),
                "cancellation_key": text(255),
            },
            strict=False,
        ),
        "description": "All that are given must hold; at least one of them must be given.",
    },
    "Cancelled": answer({"execution_ids": listed(UID, 1_000)}),
}  # fmt: skip
