"""Courier's list of templates, which are automations and journeys at once."""

from __future__ import annotations

from typing import Any

import pytest

from automations import publication
from automations.api.courier import templates
from automations.api.moments import stamp
from automations.models import Automation
from tests.api.conftest import Caller, courier_refused
from tests.scenes import DELAY, production, publish

pytestmark = pytest.mark.django_db
PATHS = ("/automations", "/journeys")


def draft(key: str) -> None:
    publication.create(environment=production(), key=key, name=key, definition={"steps": [DELAY]}, by="test")


def names(api: Caller, query: str = "") -> list[str]:
    return [template["id"] for template in api.get(f"/automations{query}")["templates"]]


@pytest.mark.parametrize("path", PATHS)
def test_a_template_is_listed_in_couriers_words(api: Caller, path: str) -> None:
    publish("trial", {"steps": [DELAY]}, name="Trial", alias="tmpl 1/ü")
    row = Automation.objects.get()
    listed = {
        "id": "trial", "name": "Trial", "version": "published", "createdAt": stamp(row.created_at),
        "updatedAt": stamp(row.updated_at),
    }  # fmt: skip
    assert api.get(path) == {"templates": [listed]}
    assert api.get(f"{path}?version=published&shiny=1") == {"templates": [listed]}
    assert api.get(f"{path}?version=draft") == {"templates": [{**listed, "version": "draft"}]}


def test_what_was_never_published_is_a_draft_alone_and_what_is_archived_is_gone(api: Caller) -> None:
    publish("first", {"steps": [DELAY]})
    draft("second")
    publish("third", {"steps": [DELAY]})
    publication.archive(environment=production(), key="third", by="test")
    assert (names(api), names(api, "?version=draft")) == (["first"], ["second", "first"])


def test_pages_follow_one_another_by_their_cursor(api: Caller, monkeypatch: Any) -> None:
    monkeypatch.setattr(templates, "LISTED", 2)
    for key in ("a", "b", "c"):
        publish(key, {"steps": [DELAY]})
    first = api.get("/automations")
    assert [template["id"] for template in first["templates"]] == ["c", "b"]
    last = api.get(f"/automations?cursor={first['cursor']}")
    assert ([template["id"] for template in last["templates"]], "cursor" in last) == (["a"], False)


@pytest.mark.parametrize("query", ["version=v1", "version=PUBLISHED", "cursor=!", "version=%00"])
@pytest.mark.parametrize("path", PATHS)
def test_any_other_version_or_cursor_is_a_400(api: Caller, path: str, query: str) -> None:
    name = query.partition("=")[0]
    status, kind, message = courier_refused(api.send("GET", f"{path}?{query}"))
    assert (status, kind, message.endswith(f"(/{name})")) == (400, "invalid_request_error", True)
