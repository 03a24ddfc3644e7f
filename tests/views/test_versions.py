"""Versions told apart and taken back, publishing with what it changes, disabling and enabling with counts first."""

from __future__ import annotations

from typing import Any

import pytest

from automations import publication
from automations.models import Automation, DisableMode, Version
from tests.pages import Element, read
from tests.people import client
from tests.scenes import DELAY, SEND, invoke, make_due, production, publish, run_of_uid, statuses, work_off

pytestmark = pytest.mark.django_db
FIRST = {"steps": [SEND, DELAY], "cancellation_token": "user-{{data.user_id}}"}
SECOND = {"steps": [DELAY, SEND], "cancellation_token": "u-{{data.user_id}}"}


def stored() -> Automation:
    return Automation.objects.select_related("published").get(key="welcome")


def save(definition: dict[str, Any]) -> None:
    publication.save_draft(environment=production(), key="welcome", definition=definition, by="user/otto")


def get(place: str) -> Element:
    return read(client("admin").get(f"/templates/welcome/{place}"))


def post(place: str, **fields: str) -> Any:
    return client("admin").post(
        f"/templates/welcome/{place}", {"revision": str(stored().draft_revision), **fields}
    )


def start(*users: str) -> list[str]:
    return [
        invoke(definition=None, automation="welcome", data={"user_id": user}).runs[0]["id"] for user in users
    ]


def test_versions_are_listed_with_note_and_author_and_any_two_told_apart() -> None:
    assert_empty = client("admin").post("/templates/new/", {"name": "W", "key": "empty"})
    assert read(client("admin").get(f"{assert_empty['Location']}versions")).one(".empty").texts("strong") == [
        "Nothing published yet."
    ]
    publish("welcome", FIRST)
    save(SECOND)
    publication.publish(environment=production(), key="welcome", by="user/ana", note="other way round")
    rows = [row.texts("td") for row in get("versions").all("[data-row]")]
    assert [(row[0], row[2]) for row in rows] == [("v2 in force", "other way round"), ("v1", "")]
    assert rows[0][1].endswith(" UTC by ana")
    assert get("versions").one("#difference").text == "No difference."
    page = get("versions?from=1&to=2")
    assert page.one("#token-change").text.startswith(
        'cancellation_token before: "user-{{data.user_id}}" after: "u-{{data.user_id}}"'
    )
    assert "Runs already started keep their token" in page.one("#token-change").text
    assert [one["class"] for one in page.one(".changes").all("li")] == ["same moved", "same"]


@pytest.mark.parametrize("query", ["from=3", "to=0", "from=x", "to=²", "from=99999999999999999999"])
def test_there_are_no_other_versions(query: str) -> None:
    publish("welcome", FIRST)
    assert client("admin").get(f"/templates/welcome/versions?{query}").status_code == 404


def test_a_version_is_taken_back_into_the_draft() -> None:
    publish("welcome", FIRST)
    save(SECOND)
    assert post("versions", number="1", revision="1").status_code == 412
    assert stored().draft == SECOND
    assert post("versions", number="1")["Location"] == "/templates/welcome/"
    assert (stored().draft, stored().published.number) == (FIRST, 1)


def test_publishing_shows_what_changes_and_for_how_many_runs() -> None:
    publish("welcome", FIRST)
    assert "there is nothing to publish" in get("publish").one(".verb").text
    start("u1", "u2")
    save(SECOND)
    page = get("publish")
    assert page.one("#verb-title").text == "Publish as version 2"
    assert page.one("#impact").text == "2 unfinished: 2 wait, 0 are running now. 2 of v1."
    assert page.one("#token-change").text != ""
    answer = post("publish", note="tur\0ned")
    assert (answer.status_code, statuses()) == (302, ["waiting", "waiting"])
    version = stored().published
    assert (version.number, version.note, version.published_by) == (2, "turned", "user/ana")


@pytest.mark.parametrize("verb", ["disable", "publish"])
def test_what_a_cancel_calls_off_beneath_them_is_told_where_it_is_chosen(verb: str) -> None:
    publish("leaf", FIRST)
    publish("welcome", {"steps": [{"action": "invoke", "template": "leaf"}, DELAY]})
    start("u1")
    save(FIRST)
    assert "beneath" not in get(verb).one(".verb").text
    work_off()
    page = get(verb)
    assert page.one("#impact").text == "1 unfinished: 1 wait, 0 are running now. 1 of v1."
    words = {"disable": "called off at once", "publish": "no further step of them starts"}
    assert f"{words[verb]}, and 1 run beneath them" in page.one(".verb").text


def test_publishing_can_call_off_the_runs_of_earlier_versions() -> None:
    publish("welcome", FIRST)
    start("u1", "u2")
    save(SECOND)
    assert post("publish", running="cancel").status_code == 302
    assert (stored().published.number, statuses()) == (2, ["cancelled", "cancelled"])


@pytest.mark.parametrize("running", ["keep", "cancel"])
def test_what_somebody_changed_meanwhile_is_not_published_unseen(running: str) -> None:
    publish("welcome", FIRST)
    start("u1")
    save(SECOND)
    answer = post("publish", revision="1", note="mine", running=running)
    page = read(answer)
    assert (answer.status_code, Version.objects.count(), statuses()) == (412, 1, ["waiting"])
    assert page.one("#refusal").text.startswith("Somebody saved this draft after you had opened this page.")
    assert (page.one("#note")["value"], page.one(f"#running-{running}").has("checked")) == ("mine", True)


def test_what_cannot_run_is_not_published() -> None:
    publish("welcome", FIRST)
    save({"steps": [{"action": "delay", "duration": "soon"}], "cancellation_token": "${"})
    (problem,) = get("publish").one("#problems").all("li")
    assert problem.text.startswith("Step 1: 'soon' is not a duration")
    assert problem.one("a")["href"] == "/templates/welcome/steps/0?by=mend"
    assert (post("publish").status_code, Version.objects.count()) == (422, 1)


@pytest.mark.parametrize(
    ("mode", "after", "held"),
    [("drain", "waiting", False), ("hold", "waiting", True), ("cancel", "cancelled", False)],
)
def test_disabling_counts_first_and_does_what_was_chosen(mode: str, after: str, held: bool) -> None:
    publish("welcome", FIRST)
    start("u1")
    assert get("disable").one("#impact").text == "1 unfinished: 1 wait, 0 are running now. 1 of v1."
    assert (post("disable", mode="odd").status_code, stored().mode) == (422, None)
    assert post("disable", mode=mode, reason="too\0 many").status_code == 302
    automation = stored()
    assert (automation.mode, automation.disabled_reason, automation.held_at is not None) == (
        DisableMode(mode), "too many", held,
    )  # fmt: skip
    assert statuses() == [after]
    assert len(get("").all("#to-enable")) == 1


def test_a_reason_that_is_too_long_is_refused() -> None:
    publish("welcome", FIRST)
    answer = post("disable", mode="cancel", reason="x" * 501)
    assert (answer.status_code, stored().mode) == (422, None)
    assert read(answer).one("#mode-cancel").has("checked")


def test_enabling_asks_what_becomes_of_what_was_due() -> None:
    publish("welcome", FIRST)
    (uid,) = start("u1")
    post("disable", mode="hold")
    make_due(run_of_uid(uid))
    assert get("enable").one("#overdue").text == "1 was due while it was held:"
    assert (post("enable", overdue="odd").status_code, stored().mode) == (422, "hold")
    assert post("enable", overdue="skip").status_code == 302
    assert (stored().mode, stored().held_at) == (None, None)
    assert get("enable").one(".verb").text.endswith("It is enabled: invokes are taken.")
