"""The list of automation templates."""

from __future__ import annotations

import pytest

from automations import publication
from automations.models import Environment
from automations.views import listing
from tests.captured import Captured
from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, cancel_runs, invoke, production, publish

pytestmark = pytest.mark.django_db
SAMPLES = ("approval-reminder", "onboarding-reminder", "trial-expiry")
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
        with Captured() as statements:
            browser.get("/templates/")
        return len(statements)

    publish("a", {"steps": [DELAY]})
    one = statements()
    publish("b", {"steps": [DELAY]})
    publish("c", {"steps": [DELAY]})
    assert (one, statements()) == (4, 4)


def test_only_admins_see_a_way_to_create_one() -> None:
    pages = {role: read(client(role).get("/templates/")) for role in ("viewer", "operator", "admin")}
    assert {role: page.texts(".primary") for role, page in pages.items()} == {
        "viewer": [], "operator": [], "admin": ["Create automation", "Create the first one"],
    }  # fmt: skip
    offers = [offer["href"] for offer in pages["admin"].all(".offer")]
    assert offers == [f"/templates/new/?sample={name}" for name in SAMPLES]
    assert pages["operator"].all(".offer") == []


def test_the_last_run_is_shown_and_led_to() -> None:
    publish("a", {"steps": [DELAY]})
    publish("b", {"steps": [DELAY]})
    invoke(definition=None, automation="a")
    newest = invoke(definition=None, automation="a").runs[0]["id"]
    page = read(client("viewer").get("/templates/"))
    assert page.one("#last-a")["href"] == f"/logs/{newest}/"
    assert page.one("#row-b").texts("td")[4] == "never"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abc"), ("q=FIRST", "a"), ("q=alias", "b"), ("q=nothing", ""), ("status=draft", "c"),
        ("status=published", "a"), ("status=disabled", "b"), ("status=odd", "abc"), ("q=e&status=draft", ""),
    ],
)  # fmt: skip
def test_it_can_be_narrowed(query: str, found: str) -> None:
    publish("a", {"steps": [DELAY]}, name="First")
    publish("b", {"steps": [DELAY]}, name="Second", alias="an alias")
    publication.disable(environment=production(), key="b", by="user/ana", mode="hold")
    publication.create(environment=production(), key="c", name="Third", definition={}, by="user/ana")
    page = read(client("viewer").get(f"/templates/?{query}"))
    assert [row["id"] for row in page.all("[data-row]")] == [f"row-{key}" for key in found]
    assert len(page.all("#clear")) == (not found)


def test_another_environments_automations_are_not_listed() -> None:
    test = Environment.objects.get(key="test")
    publication.create(environment=test, key="a", name="Foreign", definition={}, by="user/ana")
    assert rows() == []
    assert client("admin").get("/templates/a/").status_code == 404
    assert client("admin").post("/templates/a/").status_code == 404
