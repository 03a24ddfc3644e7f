"""The channel that only records."""

from __future__ import annotations

import time
from collections.abc import Callable

from automations.channels import Message, deliver


def test_the_message_is_recorded(message: Callable[..., Message]) -> None:
    output = deliver("console", message(), deadline=time.monotonic() + 1)
    assert output == {"channel": "console", "title": "Hi", "body": "Text", "recipient": "ada"}


def test_the_template_it_came_from_is_recorded(message: Callable[..., Message]) -> None:
    given = message(template="WELCOME")
    assert deliver("console", given, deadline=time.monotonic() + 1) == {
        "channel": "console",
        "title": "Hi",
        "body": "Text",
        "recipient": "ada",
        "template": "WELCOME",
    }
