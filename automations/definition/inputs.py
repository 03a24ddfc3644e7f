"""What a person fills in for each action and for the whole automation: the fields of the forms, as data.

The parsers beside this module say what is right; a form only writes members where these paths lead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from automations.definition.rules import POLICIES
from automations.definition.sends import CHANNEL_NAMES
from automations.definition.update_profile_step import MERGES

Look = Literal["text", "long", "condition", "choice", "flag", "number", "object", "list", "values", "lines"]
"""How a member is typed: a line, several lines, a condition, one of some words, a tick, a whole number, JSON (an
object, or a list), JSON or an expression that gives it, one entry on each line."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """A field for the member at `path`. Where a vendor puts the same elsewhere (`others`), it is read and kept there.
    `more` fields are folded away until they are wanted."""

    path: tuple[str, ...]
    label: str
    look: Look = "text"
    hint: str = ""
    example: str = ""
    choices: tuple[str, ...] = ()
    others: tuple[tuple[str, ...], ...] = ()
    more: bool = False

    @property
    def name(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, kw_only=True)
class Action:
    """An action as it is offered: what it is called, what it does, its fields, and what a new step begins with."""

    label: str
    words: str
    inputs: tuple[Input, ...]
    first: Mapping[str, str]


def _input(
    path: str, label: str, look: Look = "text", *, also: tuple[str, ...] = (), **rest: object
) -> Input:
    others = tuple(tuple(other.split(".")) for other in also)
    return Input(path=tuple(path.split(".")), label=label, look=look, others=others, **rest)  # type: ignore[arg-type]


_EXAMPLE: Final = "onboarding-{{data.user_id}}"
_CONDITION = _input(
    "if",
    "Run only if",
    "condition",
    example='data.plan !== "pro"',
    hint="JavaScript; otherwise the step is skipped.",
)
_NAMED = (
    _input(
        "id",
        "Step id",
        more=True,
        example="reminder",
        hint="Its name in receipts, events and idempotency keys.",
    ),
    _input("name", "Title in the editor", more=True),
)
_REF = _input("ref", "Known to later steps as", more=True, hint="Later expressions read it as refs.<this>.")
_TRIES = (
    _input("timeout", "Give up an attempt after", more=True, example="30 seconds"),
    _input("retry.max_attempts", "Attempts", "number", more=True, example="3"),
    _input("retry.interval", "Wait between attempts", more=True, example="5 seconds"),
    _input("retry.backoff", "That wait", "choice", more=True, choices=("fixed", "exponential")),
    _input("on_crash", "If its worker is lost", "choice", more=True, choices=("retry", "fail")),
)
_CHANNEL = _input(
    "message.channel",
    "Channel",
    "choice",
    choices=tuple(sorted(CHANNEL_NAMES)),
    hint="By default what the address, else the profile, has.",
)
_CONTENT = (
    _input("message.content.title", "Title", example="Two steps left"),
    _input("message.content.body", "Body", "long", example="Finish setting up, {{data.user_id}}."),
    _input(
        "template",
        "or a message template",
        also=("message.template",),
        more=True,
        example="welcome",
        hint="Its key, instead of title and body.",
    ),
)
_LAID_OVER = (
    _input(
        "data",
        "Data for the template",
        "values",
        also=("message.data",),
        more=True,
        hint="JSON laid over the run’s data, or an expression.",
    ),
    _input("override.title", "Title instead of the template’s", more=True),
    _input("override.body", "Body instead of the template’s", "long", more=True),
)
_SEND = (
    *_CONTENT,
    _CHANNEL,
    _CONDITION,
    _input("message.to.email", "To: email address", more=True, example="{{profile.email}}"),
    _input("message.to.webhook.url", "To: webhook", more=True, example="https://example.com/hook"),
    _input("message.to.webhook.headers", "Headers of the webhook", "object", more=True),
    _input("message.to.apprise", "To: Apprise provider or URL", more=True),
    _input("recipient", "Another recipient", also=("message.to.user_id",), more=True, example="refs.data.manager_id"),
    *_LAID_OVER,
    _input("profile", "Profile for the template", "values", more=True, hint="As with the data."),
)  # fmt: skip
_SEND_LIST = (
    _input("list", "List", example="beta-testers", hint="The key of a list of recipients."),
    *_CONTENT,
    _CHANNEL,
    _CONDITION,
    *_LAID_OVER,
)
_DELAY = (
    _input("duration", "Wait", example="1 day", hint="5 minutes, 1 day 2 hours, PT1H, or an expression."),
    _input(
        "until",
        "or until",
        example="refs.data.due_at",
        hint="A moment such as 2026-11-20T14:00:00Z, or an expression.",
    ),
    _CONDITION,
)
_CANCEL = (
    _input(
        "cancellation_token", "Cancel runs with the token", also=("cancelation_token",), example=_EXAMPLE,
        hint="All unfinished runs that have it, or have it as their key.",
    ),
    _input("run_id", "or the one run", more=True, example="refs.data.run_id"),
    _input("filter.token", "Filter: token or key", more=True),
    _input("filter.key", "Filter: key alone", more=True),
    _input("filter.automation", "Filter: automation", more=True),
    _input("filter.recipients", "Filter: recipients, one on a line", "lines", more=True),
    _input("filter.tags", "Filter: tags, one on a line", "lines", more=True),
    _input("filter.source", "Filter: source", more=True),
    _input("filter.invocation", "Filter: invocation", more=True),
    _input("filter.idempotency_key", "Filter: idempotency key", more=True),
    _input("filter.run_ids", "Filter: run ids, one on a line", "lines", more=True),
    _input("filter.created_after", "Filter: started from", more=True),
    _input("filter.created_before", "Filter: started before", more=True),
    _input("filter.due_after", "Filter: due from", more=True),
    _input("filter.due_before", "Filter: due before", more=True),
    _CONDITION,
    _input("reason", "Reason", example="asked again", hint="Kept with the cancellation."),
    _input("include_self", "This run as well", "flag"),
    _input("hold_for", "Also runs accepted within", more=True, example="10 minutes"),
    _input("undo_for", "Undo is free for", more=True, example="5 minutes"),
)  # fmt: skip
_INVOKE = (
    _input("template", "Automation", example="trial-expiry", hint="Its key or alias."),
    _input("data", "Data", "object", also=("context.data",), hint="This run’s own where it is empty."),
    _input("recipient", "Recipient", also=("context.recipient",), more=True),
    _input("profile", "Profile", "object", also=("context.profile",), more=True),
    _CONDITION,
    _input("wait", "Go on only when that run has ended", "flag"),
    _input("on_parent_cancel", "When this run is cancelled, that one", "choice", choices=("cancel", "leave")),
    _REF,
)
_UPDATE_PROFILE = (
    _input("profile", "What to say of the recipient", "object", example='{"plan": "{{data.plan}}"}'),
    _input("recipient_id", "Another recipient", more=True, example="refs.data.manager_id"),
    _input(
        "merge", "With what is stored", "choice", choices=MERGES, hint="By default it is laid over what is stored."
    ),
    _CONDITION,
)  # fmt: skip

ACTION_INPUTS: Mapping[str, Action] = {
    "send": Action(
        label="Send", words="a message to the recipient", inputs=(*_SEND, *_NAMED, _REF, *_TRIES), first={}
    ),
    "delay": Action(
        label="Delay",
        words="wait for a time or until a moment",
        inputs=(*_DELAY, *_NAMED, *_TRIES),
        first={"duration": "1 day"},
    ),
    "cancel": Action(
        label="Cancel", words="other runs, by token or filter", inputs=(*_CANCEL, *_NAMED, *_TRIES), first={}
    ),
    "invoke": Action(
        label="Invoke", words="another automation", inputs=(*_INVOKE, *_NAMED, *_TRIES), first={}
    ),
    "send-list": Action(
        label="Send to a list",
        words="a message to each member",
        inputs=(*_SEND_LIST, *_NAMED, _REF, *_TRIES),
        first={},
    ),
    "update-profile": Action(
        label="Update profile",
        words="what is stored of the recipient",
        inputs=(*_UPDATE_PROFILE, *_NAMED, *_TRIES),
        first={},
    ),
}
"""Every action that has a form, in the order of the menu."""

ANY_ACTION: Final = (_CONDITION, *_NAMED)
"""The fields of a step whose action has no form."""

SETTINGS: Final = (
    _input("cancellation_token", "Cancellation token", also=("cancelation_token",), example=_EXAMPLE),
    _input(
        "on_unresolved_token", "When a field of the token is missing", "choice",
        choices=("reject", "run_without_token"), hint="By default the invoke is rejected, naming the field.",
    ),
    _input(
        "concurrency.key", "One run at a time for the key", more=True, example="{{data.cart_id}}",
        hint="Runs whose expression gives the same text get in each other’s way.",
    ),
    _input("concurrency.policy", "A second one", "choice", more=True, choices=POLICIES),
    _input("on_cancel.invoke", "When a run is cancelled, invoke", more=True, hint="The key of an automation."),
    _input(
        "cancel_on", "Events that cancel a run", "list", more=True,
        example='[{"event": "order.paid", "match": "data.order_id"}]',
        hint="A list of rules: event, if, match, within, reason.",
    ),
)  # fmt: skip
"""The fields of what an automation says beside its steps."""
