"""Records a message on its run and sends nothing: the channel of a message without an address."""

from __future__ import annotations

from typing import Any

from automations.channels.base import Message


def send(message: Message, /, *, deadline: float) -> dict[str, Any]:
    """The message itself."""
    output: dict[str, Any] = {
        "channel": "console",
        "title": message.title,
        "body": message.body,
        "recipient": message.recipient,
    }
    if message.template is not None:
        output["template"] = message.template
    return output
