"""A definition whose JavaScript cannot be read is a draft, and is never published."""

from __future__ import annotations

from typing import Any

import pytest

from automations import publication
from automations.models import Automation, No, Refusal, Version
from tests.scenes import DELAY, production, publish

pytestmark = pytest.mark.django_db
TITLE = {"action": "send", "message": {"content": {"title": "${data.}"}}}


@pytest.mark.parametrize(
    ("definition", "pointer"),
    [
        ({"cancellation_token": "${`a-${data.b`}", "steps": [DELAY]}, "/cancellation_token"),
        ({"steps": [DELAY, {**DELAY, "if": "data.plan ==="}]}, "/steps/1/if"),
        ({"steps": [TITLE]}, "/steps/0/message/content/title"),
    ],
)
@pytest.mark.parametrize("running", ["keep", "cancel"])
def test_it_is_refused_with_the_place(definition: dict[str, Any], pointer: str, running: str) -> None:
    publish("a", {"steps": [DELAY]})
    publication.save_draft(environment=production(), key="a", definition=definition, by="test")
    (problem,) = publication.misspelt(Automation.objects.get(key="a").draft)
    assert (problem.pointer, problem.code) == (pointer, "syntax")
    verb = publication.publish if running == "keep" else publication.publish_and_cancel
    with pytest.raises(Refusal) as refused:
        verb(environment=production(), key="a", by="test")
    assert (refused.value.kind, refused.value.problems[0].pointer) == (No.INVALID, f"/definition{pointer}")
    assert Version.objects.count() == 1


def test_names_are_no_expressions() -> None:
    assert publication.misspelt({"steps": [{**DELAY, "name": "${"}, {**DELAY, "name": "${(}"}]}) == ()


THEIR_SPELLING = "cancellation_token".replace("ll", "l")
ODD: dict[str, Any] = {
    THEIR_SPELLING: "${(}",
    "steps": [
        {**DELAY, "duration": "zzz", "if": "data.plan ==="},
        TITLE,
        {"action": "cancel", THEIR_SPELLING: "${]}"},
    ],
}


def test_all_that_is_wrong_is_told_at_once_in_the_spelling_it_was_given_in() -> None:
    wrong = [
        ("/steps/0/duration", "invalid_duration"), (f"/{THEIR_SPELLING}", "syntax"), ("/steps/0/if", "syntax"),
        ("/steps/1/message/content/title", "syntax"), (f"/steps/2/{THEIR_SPELLING}", "syntax"),
    ]  # fmt: skip
    with pytest.raises(Refusal) as refused:
        publication.apply(environment=production(), document={"key": "a", "definition": ODD}, by="test")
    assert [(one.pointer, one.code) for one in refused.value.problems] == [
        (f"/definition{pointer}", code) for pointer, code in wrong
    ]
    assert Automation.objects.count() == 0
    publication.create(environment=production(), key="a", name="a", definition=ODD, by="test")
    with pytest.raises(Refusal) as refused:
        publication.publish(environment=production(), key="a", by="test")
    assert {one.pointer for one in refused.value.problems} == {
        f"/definition{pointer.replace(THEIR_SPELLING, 'cancellation_token')}" for pointer, _ in wrong
    }
