"""A definition whose JavaScript cannot be read is a draft, and is never published."""

from __future__ import annotations

from typing import Any

import pytest

from automations import publication
from automations.definition import parse
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
    (problem,) = publication.misspelt(parse(Automation.objects.get(key="a").draft))
    assert (problem.pointer, problem.code) == (pointer, "syntax")
    verb = publication.publish if running == "keep" else publication.publish_and_cancel
    with pytest.raises(Refusal) as refused:
        verb(environment=production(), key="a", by="test")
    assert (refused.value.kind, refused.value.problems[0].pointer) == (No.INVALID, f"/definition{pointer}")
    assert Version.objects.count() == 1


def test_names_are_no_expressions() -> None:
    assert publication.misspelt(parse({"steps": [{**DELAY, "name": "${"}, {**DELAY, "name": "${(}"}]})) == ()
