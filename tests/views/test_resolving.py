"""What is shown beside a step of what it would do with the sample data."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache

from automations.models import Automation, User
from tests.editing import draft, get, post
from tests.pages import Element, read
from tests.scenes import SEND, invoke, publish

pytestmark = pytest.mark.django_db
DUE = "2030-01-02T03:04:05Z"


def shown(*steps: dict[str, Any], place: int = 0, data: dict[str, Any] | None = None) -> Element:
    """What is said beside the step of a draft whose newest run had these data."""
    draft({"steps": list(steps)})
    if data is not None:
        publish("other", {"steps": [SEND]})
        Automation.objects.filter(key="other").update(key="gone")
        Automation.objects.filter(key="welcome").delete()
        Automation.objects.filter(key="gone").update(key="welcome", draft={"steps": list(steps)})
        invoke(automation="welcome", definition=None, data=data)
    return get(f"steps/{place}").one("#resolved")


def test_a_duration_resolves_to_a_moment_with_seconds_and_zone() -> None:
    resolved = shown({"action": "delay", "duration": "1 day 2 hours"})
    moment = datetime.fromisoformat(resolved.one("time")["datetime"])
    assert abs(moment - datetime.now(UTC) - timedelta(hours=26)) < timedelta(seconds=30)
    assert resolved.one("#resolves-to").text.startswith("resolves to: ")
    assert resolved.one("time").text.endswith(f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d} UTC")
    assert resolved.one("#to-sample")["href"] == "/templates/welcome/settings"


def test_an_expression_reads_what_the_newest_run_was_invoked_with() -> None:
    delay = {"action": "delay", "until": "refs.data.due_at", "if": 'data.plan === "pro"'}
    resolved = shown(delay, data={"due_at": DUE, "plan": "free"})
    assert resolved.one("time")["datetime"] == "2030-01-02T03:04:05.000Z"
    assert resolved.one("#condition").text == "“Run only if” is false: the step is skipped"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"duration": "refs.data.wait"}, "resolves to no moment: “duration” resolved to nothing, which is not a text."),
        ({"until": "{{data.user_id}}"}, "resolves to no moment: 'user_123' is not a moment; write ISO 8601, such as"),
        ({"duration": "${while (true) {}}"}, "resolves to no moment: "),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_said(members: dict[str, str], words: str) -> None:
    resolved = shown({"action": "delay", **members})
    assert resolved.one("#resolves-to").text.startswith(words)
    assert resolved.all("time") == []


def test_a_condition_is_tried_on_every_kind_of_step() -> None:
    steps = [{**SEND, "if": 'data.user_id === "user_123"'}, {**SEND, "if": "nothing.there"}, SEND]
    assert shown(*steps).one("#condition").text == "“Run only if” is true: the step runs"
    assert get("steps/1").one("#condition").text.startswith("“Run only if” is neither true nor false: ")
    assert get("steps/2").one("#resolved").children == []


def test_what_is_saved_is_tried_anew_and_what_is_not_is_not() -> None:
    draft({"steps": [{"action": "delay", "until": DUE}]})
    saved = read(post("steps/0", htmx=True, until="2031-01-02T03:04:05Z"))
    assert saved.one("#resolved").one("time")["datetime"] == "2031-01-02T03:04:05.000Z"
    assert "#resolved," in saved.one("#step")["hx-select-oob"]
    assert read(post("steps/0", htmx=True, until="x\0y")).one("#resolved").children == []


def test_who_may_not_invoke_is_told_nothing_and_nobody_too_fast() -> None:
    draft({"steps": [{"action": "delay", "until": DUE}]})
    assert get("steps/0", role="viewer").one("#resolved").children == []
    assert get("steps/0", role="operator").one("#resolved").all("time") != []
    person, now = User.objects.get(username="otto"), int(time.time())
    cache.set_many({f"preview/{person.pk}/{now + ahead}": 99 for ahead in range(30)})
    assert get("steps/0", role="operator").one("#resolved").children == []
