"""A draft is read from the database once for each page of the editor, and parsed once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from automations.definition import parse
from automations.models import Automation
from automations.views.drafts import draft_of, problems_of, read
from tests.captured import Captured
from tests.editing import HTMX, draft, stored
from tests.people import client
from tests.scenes import DELAY, SEND

pytestmark = pytest.mark.django_db
TOO_LITTLE: dict[str, Any] = {"steps": [SEND, {"action": "delay"}]}


def costs(ask: Callable[[], Any]) -> tuple[int, int]:
    """How often `ask` selects the automation, and how often it parses a definition."""
    parsed = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal parsed
        parsed += event == "call" and frame.f_code is parse.__code__

    with Captured() as captured:
        sys.setprofile(count)
        try:
            ask()
        finally:
            sys.setprofile(None)
    reads = [query for query in captured if query["sql"].startswith('SELECT "automations_automation"')]
    return len(reads), parsed


@pytest.mark.parametrize(
    "place", ["", "steps/0", "steps/1", "json", "settings", "versions", "runs", "use", "invoke"]
)
@pytest.mark.parametrize("definition", [{"steps": [{**DELAY, "if": "true"}, SEND]}, TOO_LITTLE])
def test_a_page_of_the_editor_reads_and_parses_its_draft_once(place: str, definition: dict[str, Any]) -> None:
    draft(definition)
    browser = client("admin")
    tried_alone = definition is TOO_LITTLE and place.startswith("steps/")  # the one step, by itself
    assert costs(lambda: browser.get(f"/templates/welcome/{place}")) == (1, 2 if tried_alone else 1)


def test_saving_a_step_parses_what_was_and_what_is_each_once() -> None:
    draft({"steps": [DELAY, SEND]})
    fields = {"revision": "1", "base": json.dumps(stored().draft), "duration": "2 hours"}
    browser = client("admin")
    assert costs(lambda: browser.post("/templates/welcome/steps/0", fields, headers=HTMX)) == (2, 2)
    assert stored().draft["steps"][0]["duration"] == "2 hours"


def test_another_draft_of_the_same_automation_is_read_anew() -> None:
    automation = Automation(draft={"steps": [DELAY]})
    assert (draft_of(automation), problems_of(automation)) == (
        {"steps": [DELAY]}, (),
    )  # fmt: skip
    assert read(automation) is read(automation)
    automation.draft = TOO_LITTLE
    assert draft_of(automation) == TOO_LITTLE
    assert [problem.pointer for problem in problems_of(automation)] == ["/steps/1/duration"]
