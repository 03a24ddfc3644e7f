"""What the bodies and answers of Courier's API are made of, by name; other members of a request mean nothing."""

from __future__ import annotations

from automations.api.definitions import EXPRESSION, STEP
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
    request_of,
    text,
)
from automations.definition.parse import MOST_STEPS

RUN_STATUS = one_of("WAITING", "PROCESSING", "PROCESSED", "ERROR", "CANCELED", "THROTTLED", "NOT PROCESSED")
STEP_STATUS = one_of("WAITING", "PROCESSING", "PROCESSED", "ERROR", "CANCELED", "SKIPPED")
_TIMES: dict[str, Schema] = {"created_at": MOMENT, "updated_at": MOMENT}
_RUN: dict[str, Schema] = {
    "run_id": UID,
    "status": RUN_STATUS,
    "source": listed(TEXT, 1, least=1),
    "created_at": MOMENT,
}
_TEMPLATE: dict[str, Schema] = {"template_id": TEXT}
_STEP: dict[str, Schema] = {"action": TEXT, "status": STEP_STATUS}
_STEPS = listed(answer({**_STEP, "step_id": TEXT}, _TIMES))
_STEP_HERE: Schema = {
    "type": "object",
    "properties": {**STEP["properties"], "cancelation_token": nullable(EXPRESSION)},
}

COMPONENTS: dict[str, Schema] = {
    "Problem": answer({
        "message": TEXT,
        "type": one_of(
            "invalid_request_error", "authentication_error", "authorization_error", "rate_limit_error", "api_error"
        ),
    }),
    "AdHoc": request_of(
        {"steps": listed(_STEP_HERE, MOST_STEPS, least=1)}, {"cancelation_token": EXPRESSION}, strict=False
    ),
    "Accepted": answer({"runId": UID}),
    "Templates": answer(
        {
            "templates": listed(
                answer({
                    "id": TEXT, "name": TEXT, "version": one_of("published", "draft"), "createdAt": MOMENT,
                    "updatedAt": MOMENT,
                })
            )
        },
        {"cursor": TEXT},
    ),
    "Run": answer({**_RUN, "updated_at": MOMENT}, _TEMPLATE),
    "RunWithSteps": answer(
        {**_RUN, "updated_at": MOMENT, "automation": answer({"steps": _STEPS}, {"cancelation_token": TEXT})},
        _TEMPLATE,
    ),
    "Runs": answer({"runs": listed(answer(_RUN, _TEMPLATE))}, {"next_cursor": TEXT}),
    "JourneyRuns": answer(
        {"runs": listed(answer(_RUN, _TEMPLATE))}, {"next_cursor": TEXT, "prev_cursor": TEXT}
    ),
    "JourneyRun": answer({"run": ref("Run")}),
    "Steps": answer({"steps": _STEPS}),
    "NodesReached": answer({
        "steps": listed(
            answer(
                {
                    **_STEP, "node_id": TEXT, "error": nullable(answer({"message": TEXT})),
                    "skip_reason": nullable(TEXT),
                },
                _TIMES,
            )
        )
    }),
    "CancelledRun": answer({"run_id": TEXT, "status": RUN_STATUS}),
    "CancelledToken": answer({"cancelation_token": TEXT}),
    "NewJourney": request_of(
        {"name": text(200), "nodes": listed(OBJECT, 200)},
        {"cancelation_token": EXPRESSION, "state": one_of("DRAFT", "PUBLISHED"), "enabled": FLAG},
        strict=False,
    ),
    "Journey": answer({
        "id": TEXT, "name": TEXT, "state": one_of("DRAFT", "PUBLISHED"), "enabled": FLAG,
        "cancelation_token": nullable(TEXT),
        "nodes": listed({
            "type": "object", "required": ["type"], "properties": {"type": TEXT, "id": TEXT},
        }, least=1),
        "created": COUNT, "creator": {"type": "null"}, "updated": COUNT, "updater": nullable(TEXT),
        "published": nullable(COUNT),
    }),
    "Versions": answer({
        "paging": answer({"more": FLAG}, {"cursor": TEXT}),
        "results": listed(
            answer({"version": text(10, pattern=r"v\d+"), "name": TEXT, "published": COUNT, "creator": TEXT})
        ),
    }),
}  # fmt: skip
