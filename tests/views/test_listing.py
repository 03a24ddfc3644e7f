"""The list of automation templates."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automations import publication
from automations.models import Environment
from automations.views import listing
from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, cancel_runs, invoke, production, publish

pytestmark = pytest.mark.django_db
TOKEN = "user-{{data.user_id}}"


def rows(role: str = "viewer") -> list[list[str]]:
    return [row.texts("td")[:4] for row in read(client(role).get("/templates/")).all("[data-row]")]


def test_each_says_where_it_stands() -> None:
    publish("a", {"steps": [DELAY], "cancellation_token": TOKEN}, name="Published", alias="old name")
    publish("b", {"steps": [DELAY]}, name="Changed")
    changed = {"steps": [DELAY, DELAY], "cancellation_token": TOKEN}
    publication.save_draft(environment=production(), key="b", definition=changed, by="user/ana")
    publish("c", {"steps": [DELAY]}, name="Disabled")
    publication.disable(environment=production(), key="c", by="user/ana")
    publication.create(environment=production(), key="d", name="Drafted", definition={}, by="user/ana")
    assert rows() == [
        ["Changed b", "Draft changes · v1 live", TOKEN, "0"],
        ["Disabled c", "Disabled · v1", "none", "0"],
        ["Drafted d", "Draft", "none", "0"],
        ["Published a · old name", "Published · v1", TOKEN, "0"],
    ]


def test_waiting_runs_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    publish("a", {"steps": [DELAY], "cancellation_token": TOKEN})
    publish("b", {"steps": [DELAY]})
    for user in ("u1", "u1", "u2", "u3"):
        invoke(definition=None, automation="a", data={"user_id": user})
    invoke(DELAY)
    cancel_runs(token="user-u3")
    assert [row[3] for row in rows()] == ["3", "0"]
    monkeypatch.setattr(listing, "MOST_COUNTED", 2)
    assert [row[3] for row in rows()] == ["2+", "0"]
    link = read(client("viewer").get("/templates/")).one("#waiting-a")
    assert link["href"] == "/logs/?status=waiting&automation=a"


def test_the_number_of_statements_is_the_same_for_one_and_for_three() -> None:
    def statements() -> int:
        browser = client("viewer")
        with CaptureQueriesContext(connection) as statements:
            browser.get("/templates/")
        return len(statements)

    publish("a", {"steps": [DELAY]})
    one = statements()
    publish("b", {"steps": [DELAY]})
    publish("c", {"steps": [DELAY]})
    assert (one, statements()) == (4, 4)


def test_only_admins_see_a_way_to_create_one() -> None:
    buttons = {
        role: read(client(role).get("/templates/")).texts(".primary")
        for role in ("viewer", "operator", "admin")
    }
    assert buttons == {"viewer": [], "operator": [], "admin": ["Create automation", "Create the first one"]}


def test_another_environments_automations_are_not_listed() -> None:
    test = Environment.objects.get(key="test")
    publication.create(environment=test, key="a", name="Foreign", definition={}, by="user/ana")
    assert rows() == []
    assert client("admin").get("/templates/a/").status_code == 404
    assert client("admin").post("/templates/a/").status_code == 404
