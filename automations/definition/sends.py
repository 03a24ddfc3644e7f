"""Reads the steps that send: what they say, to whom, and by which channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from automations.definition.fields import Fields, Problem, below
from automations.definition.shape import Definition, Send, SendList, Step

CHANNEL_NAMES = {"apprise", "console", "email", "webhook"}
ADDRESSES = ("email", "webhook", "apprise")
WHEN = ("delay", "expiry")  # Courier's, of a message: without them it would go now, or though it was too late
_ELSEWHERE = ("brand", "idempotency_key", "idempotency_expiry")  # Courier's; nothing here would heed them


def read_send(fields: Fields, common: Mapping[str, Any]) -> Step:
    """A message inline, or a reference to a message template, for one recipient."""
    written = _written(fields)
    recipient = fields.expression("recipient")
    if recipient is not None and written.get("recipient") is not None:
        fields.refuse("recipient", "duplicate", "give the recipient once, here or as “user_id” in “to”")
    written["recipient"] = recipient or written.get("recipient")
    written["profile"] = _values(fields, "profile")
    fields.close()
    return Send(**written, **common)


def read_send_list(fields: Fields, common: Mapping[str, Any]) -> Step:
    """The same for every member of a list."""
    written = _written(fields)
    if _can_be_reached(written.get("to")) or written.get("recipient") is not None:
        fields.refuse(
            "message", "invalid", "a list's message has no “to”: each member has an address of its own"
        )
    list_key = fields.expression("list", required=True)
    fields.close(later=frozenset({"data_source", "recipient", "profile"}))
    return SendList(list_key=list_key or "", **written, **common)


def unsendable(definition: Definition) -> Iterator[Problem]:
    """What a lenient reader lets pass in messages, so that what is stored can be read, and what cannot be passed over:
    what stands in “to” in place of an address, since such a message is delivered to nobody; and when it is to go."""
    for step, given in zip(definition.steps, definition.source["steps"], strict=True):
        if not isinstance(step, Send):
            continue
        for name in WHEN:
            if (given.get("message") or {}).get(name) is not None:
                pointer = f"/steps/{step.position}/message/{name}"
                yield Problem(pointer=pointer, code="not_supported", message=f"“{name}” is not supported yet")
        if step.to is not None and not _can_be_reached(step.to):
            known = ", ".join((*ADDRESSES, "user_id"))
            for name in step.to:
                pointer = below(f"/steps/{step.position}/message/to", name)
                message = f"“{name[:100]}” in “to” is not supported; it needs one of: {known}"
                yield Problem(pointer=pointer, code="not_supported", message=message)


def _can_be_reached(to: Mapping[str, Any] | None) -> bool:
    return to is not None and to.keys() <= set(ADDRESSES)


def _written(fields: Fields) -> dict[str, Any]:
    """What both kinds say; `message` may hold the template and its data, as Courier's does."""
    message = fields.object("message")
    for ignored in _ELSEWHERE:
        if fields.take(ignored) is not None and fields.notes.strict:
            fields.refuse(ignored, "not_supported", f"“{ignored}” is not supported yet")
    written: dict[str, Any] = {
        "template": fields.expression("template"), "data": _values(fields, "data"),
        "override": _override(fields),
    }  # fmt: skip
    if message is None:
        if "template" not in fields.value and "message" not in fields.value:
            fields.refuse("message", "required", "a step that sends needs a “message” or a “template”")
        return written
    return _message(message, written)


def _message(message: Fields, written: dict[str, Any]) -> dict[str, Any]:
    template = message.expression("template") or written["template"]
    content = message.object("content")
    if content is not None and template:
        if message.notes.strict:
            message.refuse("content", "duplicate", "give either “content” or a “template”")
        message.notes.warnings.append(f"{message.pointer} has “content”, so the template is not used")
        template = None
    elif "content" not in message.value and not template:
        needed = "a message needs “content” with “title” or “body”, or a “template”"
        message.refuse("content", "required", needed)
    title, body = _wording(content) if content is not None else ("", "")
    to = message.object("to")
    address, recipient = _address(to) if to is not None else (None, None)
    # Of a “to” in which nothing is known, what it says is kept: nobody is sent to in its place.
    said = dict(to.value) if to is not None and address is None else address
    read = {
        "template": template, "data": _values(message, "data") or written["data"], "title": title, "body": body,
        "to": said, "channel": _channel(message, address), "recipient": recipient,
    }  # fmt: skip
    message.close()
    return {**written, **read}


def _channel(message: Fields, address: Mapping[str, Any] | None) -> str | None:
    """The channel that is named; it fits the address, if there is one."""
    channel = message.take("channel")
    if channel is None:
        return None
    if not isinstance(channel, str) or channel not in CHANNEL_NAMES:
        message.refuse("channel", "invalid", f"“channel” must be one of: {', '.join(sorted(CHANNEL_NAMES))}")
        return None
    if address and channel in ADDRESSES and channel not in address:
        message.refuse("to", "invalid", f"the channel “{channel}” needs “to” with “{channel}”, or none")
    return channel


def _override(fields: Fields) -> Mapping[str, Any] | None:
    """The title and body said instead of the template's."""
    if not fields.notes.strict and not isinstance(fields.value.get("override", {}), dict):
        fields.read.add("override")
        return None
    override = fields.object("override")
    if override is None:
        return None
    said = {name: text for name in ("title", "body") if (text := override.text(name)) is not None}
    override.close()
    return said or None


def _wording(content: Fields) -> tuple[str, str]:
    title, body = content.text("title"), content.text("body")
    if "title" not in content.value and "body" not in content.value:
        content.refuse("body", "required", "“content” needs a “title” or a “body”")
    content.close()
    return title or "", body or ""


def _values(fields: Fields, name: str) -> Any:
    """An object, whose texts may be expressions, or an expression that gives one."""
    if isinstance(fields.value.get(name), str):
        return fields.expression(name)
    members = fields.object(name)
    return None if members is None else members.value


def _address(to: Fields) -> tuple[dict[str, Any] | None, str | None]:
    """Where to, and to which recipient. A recipient without an address is reached where the profile says: {}."""
    recipient = to.expression("user_id")
    address: dict[str, Any] = {}
    if (email := to.expression("email")) is not None:
        address["email"] = email
    if (webhook := to.object("webhook")) is not None:
        address["webhook"] = _webhook(webhook)
    if to.value.get("apprise") is not None:
        address["apprise"] = _apprise(to)
    to.close()
    if not to.value:
        to.refuse("", "required", f"“to” needs one of: {', '.join(ADDRESSES)}, user_id")
    elif len(address) > 1:
        to.refuse("", "invalid", f"“to” takes one of: {', '.join(ADDRESSES)}")
    return address or ({} if recipient is not None else None), recipient


def _webhook(webhook: Fields) -> dict[str, Any]:
    read: dict[str, Any] = {"url": webhook.expression("url", required=True)}
    if (headers := webhook.object("headers")) is not None:
        read["headers"] = {name: headers.expression(name) for name in headers.value}
    webhook.close()
    return read


def _apprise(to: Fields) -> Any:
    """A provider's key or an Apprise URL; or the provider, and whom to reach through it."""
    if not isinstance(to.value["apprise"], dict):
        return to.expression("apprise")
    if (members := to.object("apprise")) is None:
        return None
    read = {
        "provider": members.expression("provider", required=True),
        "target": members.expression("target", required=True),
    }
    members.close()
    return read
