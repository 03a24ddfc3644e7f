"""What a definition is made of, as far as a schema can say: what each action takes is told with a pointer when read."""

from __future__ import annotations

from automations.api.schemas import (
    OBJECT,
    TEXT,
    Schema,
    either,
    listed,
    nullable,
    one_of,
    prose,
    request_of,
    text,
)
from automations.definition import ACTIONS
from automations.definition.fields import EXPRESSION_LENGTH
from automations.definition.parse import MOST_STEPS

EXPRESSION: Schema = {
    "description": "A text, `refs.data.user_id`, `${javascript}`, or a text with `{{data.name}}`.",
    **prose(EXPRESSION_LENGTH),
}
STEP: Schema = {
    "type": "object",
    "required": ["action"],
    "properties": {
        "action": one_of(*sorted(ACTIONS)),
        "id": nullable(text(64, pattern="[A-Za-z0-9_.-]+")),
        "name": nullable(prose(200)),
        "if": nullable(either(EXPRESSION, {"type": "boolean"})),
        "duration": nullable(EXPRESSION),
        "until": nullable(EXPRESSION),
        "template": nullable(EXPRESSION),
        "message": nullable(OBJECT),
        "list": nullable(EXPRESSION),
        "cancellation_token": nullable(EXPRESSION),
        "filter": nullable(OBJECT),
    },
}
DEFINITION: Schema = {
    "description": "What an action takes beside these members is checked when it is read.",
    **request_of(
        {"steps": listed(STEP, MOST_STEPS, least=1)},
        {
            "name": prose(200),
            "description": prose(2_000),
            "cancellation_token": EXPRESSION,
            "cancelation_token": {**EXPRESSION, "deprecated": True},
            "on_unresolved_token": one_of("reject", "run_without_token"),
            "cancel_on": listed(OBJECT),
            "concurrency": OBJECT,
            "on_cancel": request_of({"invoke": TEXT}),
            "trigger": OBJECT,
        },
    ),
    "examples": [
        {
            "cancellation_token": "refs.data.user_id",
            "steps": [
                {"action": "delay", "duration": "3 days"},
                {"action": "send", "message": {"content": {"title": "Hello {{data.name}}"}}},
            ],
        }
    ],
}
