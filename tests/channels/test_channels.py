"""Choosing a channel and delivering by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from automations import channels
from automations.channels import CHANNELS, DeliveryError, Message, channel_of, deliver

WEBHOOK = {"webhook": {"url": "https://hooks.example/"}}
UNADDRESSED = '"to" must hold one of "email", "webhook" and "apprise"'


@pytest.mark.parametrize(
    ("channel", "to", "chosen"),
    [
        (None, None, "console"),
        (None, {}, "console"),
        (None, {"email": "ada@example.com"}, "email"),
        (None, {"email": None}, "email"),
        (None, WEBHOOK, "webhook"),
        ("console", None, "console"),
        ("console", WEBHOOK, "console"),
        ("webhook", {**WEBHOOK, "email": "ada@example.com"}, "webhook"),
        ("email", {**WEBHOOK, "email": "ada@example.com"}, "email"),
    ],
)
def test_the_channel_is_the_named_one_else_the_one_of_the_address(
    channel: str | None, to: Mapping[str, Any] | None, chosen: str
) -> None:
    assert channel_of(channel=channel, to=to) == chosen


@pytest.mark.parametrize(
    ("channel", "to", "message"),
    [
        ("pigeon", None, "unknown channel 'pigeon'; known: apprise, console, email, webhook"),
        ("", None, "unknown channel ''; known: apprise, console, email, webhook"),
        ("x" * 90, None, f"unknown channel '{'x' * 50}'; known: apprise, console, email, webhook"),
        (["email"], None, "unknown channel \"['email']\"; known: apprise, console, email, webhook"),
        ("email", None, 'the channel "email" needs "to": {"email": ...}'),
        ("email", WEBHOOK, 'the channel "email" needs "to": {"email": ...}'),
        ("webhook", {"email": "ada@example.com"}, 'the channel "webhook" needs "to": {"webhook": ...}'),
        (None, {**WEBHOOK, "email": "ada@example.com"}, UNADDRESSED),
        (None, {"user_id": "ada"}, UNADDRESSED),
        (None, "ada@example.com", '"to" must be an object'),
    ],
)
def test_an_unknown_channel_or_an_address_that_does_not_fit_is_refused(
    channel: Any, to: Any, message: str
) -> None:
    with pytest.raises(DeliveryError) as caught:
        channel_of(channel=channel, to=to)
    assert (caught.value.message, caught.value.retryable) == (message, False)


def test_deliver_refuses_an_unknown_channel(message: Callable[..., Message]) -> None:
    with pytest.raises(DeliveryError) as caught:
        deliver("pigeon", message(), deadline=time.monotonic() + 1)
    assert caught.value.retryable is False


def test_nothing_starts_after_the_deadline(
    message: Callable[..., Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Message] = []

    def stamp(message: Message, /, *, deadline: float) -> dict[str, Any]:
        started.append(message)
        return {"channel": "stamp", "deadline": deadline}

    monkeypatch.setitem(CHANNELS, "stamp", stamp)
    later = time.monotonic() + 60
    assert deliver("stamp", message(), deadline=later) == {"channel": "stamp", "deadline": later}
    with pytest.raises(DeliveryError) as caught:
        deliver("stamp", message(), deadline=time.monotonic())
    assert (caught.value.message, caught.value.retryable) == ("no time was left to deliver the message", True)
    assert len(started) == 1


def test_the_idempotency_key_fits_a_header_and_keeps_ordinary_ids(message: Callable[..., Message]) -> None:
    assert message(run="r", step="welcome-1.b").idempotency_key == "r:welcome-1.b"
    assert message(run="r", step="2/pro/0").idempotency_key == "r:2/pro/0"
    assert message(run="r", step="a\r\nb é").idempotency_key == "r:a%0D%0Ab%20%C3%A9"
    assert message(run="r", step="a", member="user 1").idempotency_key == "r:a:user%201"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        ("grüße".encode(), "grüße"),
        (b"a\0b", "a\ufffdb"),
        (b"\xff", "\ufffd"),
        (b"x" * 1023 + "é".encode(), "x" * 1023),
        (b"x" * 5000, "x" * 1024),
    ],
)
def test_an_excerpt_is_text_a_database_takes(raw: bytes, text: str) -> None:
    assert channels.base.excerpt(raw=raw) == text
