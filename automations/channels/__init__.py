"""Delivers one message by one channel, before a hard deadline."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from automations.channels import apprise, console, email, network, webhook
from automations.channels.base import Channel, DeliveryError, Message

__all__ = ["ADDRESSED", "CHANNELS", "Channel", "DeliveryError", "Message", "channel_of", "deliver", "shown"]

CHANNELS: dict[str, Channel] = {
    "apprise": apprise.send, "console": console.send, "email": email.send, "webhook": webhook.send,
}  # fmt: skip
LONGEST = 2_000  # characters of an address that is told of a message that was not delivered
ADDRESSED = ("email", "webhook", "apprise")  # the channels that read their own key of a message's `to`


def channel_of(*, channel: str | None, to: Mapping[str, Any] | None) -> str:
    """The channel a message goes by: the one it names, else the one its `to` is for, else the console.

    Raises DeliveryError (not retryable) for a channel nobody knows and for a `to` that does not fit it.
    """
    if to is not None and not isinstance(to, Mapping):
        raise DeliveryError('"to" must be an object', retryable=False)
    name = _addressed_by(to or {}) if channel is None else channel
    if not isinstance(name, str) or name not in CHANNELS:
        known = ", ".join(sorted(CHANNELS))
        raise DeliveryError(f"unknown channel {str(name)[:50]!r}; known: {known}", retryable=False)
    if name in ADDRESSED and name not in (to or {}):
        raise DeliveryError(f'the channel "{name}" needs "to": {{"{name}": ...}}', retryable=False)
    return name


def deliver(channel: str, message: Message, *, deadline: float) -> dict[str, Any]:
    """What the run records of the delivery, JSON-safe. `deadline` is a time.monotonic() moment, in seconds.

    Nothing starts, and nothing goes on, after the deadline. Raises DeliveryError.
    """
    name = channel_of(channel=channel, to=message.to)
    if time.monotonic() >= deadline:
        raise DeliveryError("no time was left to deliver the message", retryable=True)
    return CHANNELS[name](message, deadline=deadline)


def shown(channel: str, to: Mapping[str, Any] | None) -> dict[str, Any]:
    """`to`, as the run records it of a message that was not delivered. Nothing of one that is no address: it may hold
    a secret anywhere, or be of any size."""
    match channel, (to or {}).get(channel):
        case "email", str(address):
            told: Any = address
        case "webhook", {"url": url} if _is_reachable(url):
            told = webhook.shown(url)
        case "apprise", address if address is not None:
            told = apprise.shown(address)
        case _:
            return {}
    return {"to": told} if len(str(told)) <= LONGEST else {}


def _is_reachable(url: object) -> bool:
    """Whether a request could go there; so it holds neither a user nor a password."""
    try:
        network.parse(url=url)
    except DeliveryError:
        return False
    return True


def _addressed_by(to: Mapping[str, Any]) -> str:
    named = [name for name in ADDRESSED if name in to]
    if len(named) > 1 or (to and not named):
        raise DeliveryError('"to" must hold one of "email", "webhook" and "apprise"', retryable=False)
    return named[0] if named else "console"
