"""Reads what may end a run from outside: the events that cancel it, and the run that supersedes it."""

from __future__ import annotations

import re
from datetime import timedelta

from automations.definition.fields import Fields
from automations.definition.shape import CancelRule, Concurrency
from automations.definition.times import parse_duration

MOST_RULES = 20
EVENT_LENGTH = 100
POLICIES = ("allow", "cancel_previous", "reject_new")
_PATH = re.compile(r"data(?:\.[^\s.]+){1,20}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def read_cancel_on(fields: Fields) -> tuple[CancelRule, ...]:
    """`cancel_on`: a list of rules, each for one event."""
    raw = fields.take("cancel_on")
    if raw is None:
        return ()
    if not isinstance(raw, list):
        fields.refuse("cancel_on", "invalid", "“cancel_on” must be a list of rules")
        return ()
    if len(raw) > MOST_RULES:
        fields.refuse("cancel_on", "too_many", f"a definition may have at most {MOST_RULES} rules")
        return ()
    rules = []
    for index, member in enumerate(raw):
        pointer = f"{fields.pointer}/cancel_on/{index}"
        if isinstance(member, dict):
            rules.append(_rule(Fields(member, pointer, fields.notes)))
        else:
            Fields({}, pointer, fields.notes).refuse("", "invalid", "a rule must be an object with “event”")
    return tuple(rules)


def _rule(fields: Fields) -> CancelRule:
    event = fields.text("event", longest=EVENT_LENGTH, required=True) or ""
    if _CONTROL.search(event):
        fields.refuse("event", "invalid", "“event” may not contain control characters")
    rule = CancelRule(
        event=event,
        condition=fields.condition("if"),
        match=_match(fields),
        within=_within(fields),
        reason=fields.text("reason", longest=500) or "",
    )
    fields.close()
    return rule


def _match(fields: Fields) -> tuple[str, ...] | None:
    """`data.order_id` as the keys below `data`, which the event's data and the run's are both read by."""
    text = fields.text("match", longest=200)
    if text is None:
        return None
    if not _PATH.fullmatch(text):
        fields.refuse("match", "invalid", "“match” must be a path such as “data.order_id”")
        return None
    return tuple(text.split(".")[1:])


def _within(fields: Fields) -> timedelta | None:
    text = fields.text("within", longest=200)
    if text is None:
        return None
    try:
        if duration := parse_duration(text):
            return duration
    except ValueError as error:
        fields.refuse("within", "invalid_duration", str(error))
        return None
    fields.refuse("within", "invalid_duration", "“within” must be longer than nothing")
    return None


def read_concurrency(fields: Fields) -> Concurrency | None:
    """`concurrency`: the key that runs share, and what happens when one comes while another is unfinished."""
    members = fields.object("concurrency")
    if members is None:
        return None
    key = members.expression("key", required=True)
    policy = members.choice("policy", POLICIES, "")
    if "policy" not in members.value:
        members.refuse("policy", "required", f"“policy” is required, one of: {', '.join(POLICIES)}")
    members.close()
    return Concurrency(key=key or "", policy=policy)
