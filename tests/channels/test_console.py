"""The channel that only records."""

from __future__ import annotations

import time
from collections.abc import Callable

from automations.channels import Message, deliver


def test_the_message_is_recorded(message: Callable[..., Message]) -> None:
    output = deliver("console", message(data={"unused": 1}), deadline=time.monotonic() + 1)
    assert output == {"channel": "console", "title": "Hi", "body": "Text", "recipient": "ada"}


def test_a_template_is_recorded_with_its_data(message: Callable[..., Message]) -> None:
    given = message(title="", body="", template="WELCOME", data={"plan": "pro"})
    assert deliver("console", given, deadline=time.monotonic() + 1) == {
        "channel": "console",
        "title": "",
        "body": "",
        "recipient": "ada",
        "template": "WELCOME",
        "data": {"plan": "pro"},
    }
