"""Creating, editing and publishing an automation template in the browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from automations import publication
from automations.models import Automation
from tests.pages import Element, read
from tests.people import client
from tests.scenes import DELAY, SEND, invoke, production, publish

pytestmark = pytest.mark.django_db
COMMA = "Line 1, column 21: a comma is missing here, or a bracket before it"
STEPS = json.dumps([SEND, DELAY])
NEW = {"name": "Welcome", "key": "welcome", "alias": "", "token": "user-{{data.user_id}}", "steps": STEPS,
       "on_unresolved_token": "reject", "revision": "", "note": "", "do": "save"}  # fmt: skip


def create(browser: Client, **changes: str) -> Any:
    return browser.post("/templates/new/", {**NEW, **changes})


def edit(browser: Client, **changes: str) -> Any:
    return browser.post("/templates/welcome/", {**NEW, "revision": "1", **changes})


def stored(key: str = "welcome") -> Automation:
    return Automation.objects.select_related("published").get(key=key)


def errors(answer: Any, field: str) -> list[str]:
    return read(answer).one(f"#{field}-errors").texts("li")


def toast(browser: Client, answer: Any) -> str:
    return read(browser.get(answer["Location"])).one("#toast").text


def test_a_new_one_is_a_draft() -> None:
    browser = client("admin")
    answer = create(browser, alias="Welcome mail")
    assert (answer.status_code, answer["Location"]) == (302, "/templates/welcome/")
    automation = stored()
    assert (automation.name, automation.alias, automation.published, automation.draft_revision) == (
        "Welcome", "Welcome mail", None, 1,
    )  # fmt: skip
    assert automation.draft == {"steps": [SEND, DELAY], "cancellation_token": "user-{{data.user_id}}"}
    assert automation.updated_by == "user/ana"
    assert toast(browser, answer).startswith("Draft saved ")


def test_it_can_be_published_at_once_with_a_note() -> None:
    browser = client("admin")
    answer = create(browser, do="publish", note="first")
    version = stored().published
    assert version is not None
    assert (version.number, version.note, version.published_by) == (1, "first", "user/ana")
    assert toast(browser, answer) == (
        "Published as version 1. Runs that have started keep their version and their token."
    )
    assert read(browser.get("/templates/welcome/")).one(".badge").text == "Published · v1"


def test_the_form_that_is_offered_first_can_be_published_as_it_stands() -> None:
    browser = client("admin")
    page = read(browser.get("/templates/new/"))
    fields = {
        "steps": page.one("#steps").text, "token": page.one("#token")["value"],
        "sample_data": page.one("#sample_data").text,
    }  # fmt: skip
    assert create(browser, do="publish", **fields).status_code == 302
    assert stored().published is not None


def test_an_edit_keeps_what_the_form_does_not_show() -> None:
    definition = {
        "steps": [DELAY],
        "on_unresolved_token": "run_without_token",
        "max_duration": "1 day",
        "cancel_on": [{"event": "order.paid"}],
        "concurrency": {"key": "refs.data.cart", "policy": "reject_new"},
        "name": "x",
    }
    publication.create(
        environment=production(), key="welcome", name="Old", definition=definition, by="user/otto"
    )
    assert edit(client("admin"), on_unresolved_token="reject").status_code == 302
    automation = stored()
    assert automation.draft == {
        "steps": [SEND, DELAY], "on_unresolved_token": "reject", "max_duration": "1 day", "name": "x",
        "cancel_on": definition["cancel_on"], "concurrency": definition["concurrency"],
        "cancellation_token": "user-{{data.user_id}}",
    }  # fmt: skip
    assert (automation.name, automation.draft_revision) == ("Welcome", 2)


def test_the_other_spelling_of_the_token_is_read_and_replaced_by_ours() -> None:
    spelt = {"cancellation_token".replace("ll", "l"): "user-1", "steps": [DELAY]}
    publication.create(environment=production(), key="welcome", name="Old", definition=spelt, by="user/otto")
    publication.publish(environment=production(), key="welcome", by="user/otto")
    browser = client("admin")
    assert read(browser.get("/templates/")).one("#row-welcome").texts("td")[1:3] == [
        "Published · v1",
        "user-1",
    ]
    assert read(browser.get("/templates/welcome/")).one("#token")["value"] == "user-1"
    assert edit(browser, token="user-2", do="publish").status_code == 302
    assert stored().draft == {"steps": [SEND, DELAY], "cancellation_token": "user-2"}


def test_a_token_that_is_emptied_is_gone() -> None:
    create(client("admin"))
    edit(client("admin"), token="", on_unresolved_token="run_without_token")
    assert stored().draft == {"steps": [SEND, DELAY], "on_unresolved_token": "run_without_token"}


def test_the_key_cannot_be_changed() -> None:
    create(client("admin"))
    edit(client("admin"), key="other", name="Renamed")
    assert (stored().name, Automation.objects.count()) == ("Renamed", 1)
    assert read(client("admin").get("/templates/welcome/")).one("#key").has("readonly")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("steps", '[{"action": "send"},\n {"action": delay}]', "Line 2, column 13: a value is expected here"),
        ("steps", '[{"action": "delay" "duration": "1 day"}]', COMMA),
        ("steps", "[] []", "Line 1, column 4: nothing may follow here"),
        ("steps", '{"action": "send"}', "This must be a list: [ … ]"),
        ("steps", "", "This field is required."),
        ("steps", '[{"a": 1, "a": 2}]', "“a” is given twice in one object"),
        ("steps", "[" * 70 + "]" * 70, "This is nested deeper than 64 levels"),
        ("steps", json.dumps(["x" * 300_000]), "a definition may have at most 256 KiB"),
        ("key", "Welcome!", "Up to 100 of a-z 0-9 _ . -, beginning with a letter or digit."),
        ("key", "new", "a key has up to 100 of a-z 0-9 _ . -, begins with a letter or digit, and is not reserved"),
        ("name", " ", "This field is required."),
        ("name", "a\0", "Null characters are not allowed."),
        ("alias", "x" * 256, "Ensure this value has at most 255 characters (it has 256)."),
        ("token", "x" * 2001, "Ensure this value has at most 2000 characters (it has 2001)."),
    ],
)  # fmt: skip
def test_what_will_not_do_is_said_at_its_field_and_nothing_is_lost(field: str, value: str, said: str) -> None:
    answer = create(client("admin"), **{field: value})
    assert (answer.status_code, errors(answer, field), Automation.objects.count()) == (422, [said], 0)
    page = read(answer)
    if field != "steps":
        assert page.one("#steps").text == STEPS
    assert page.one(f"#{field}")["aria-invalid"] == "true"


def test_a_taken_key_and_a_taken_alias_are_refused() -> None:
    create(client("admin"), alias="old")
    assert errors(create(client("admin")), "key") == ["there is already an automation “welcome”"]
    assert errors(create(client("admin"), key="other", alias="old"), "alias") == [
        "another automation has the alias “old”"
    ]


def test_an_unfinished_definition_can_be_saved_and_says_what_it_lacks() -> None:
    browser = client("admin")
    answer = create(browser, steps='[{"action": "delay"}, {"action": "sing"}]')
    assert toast(browser, answer).endswith("It cannot be published yet.")
    problems = read(browser.get("/templates/welcome/")).one("#problems").texts("li")
    assert [problem.split(" ", 1)[0] for problem in problems] == ["/steps/0/duration", "/steps/1/action"]


def test_a_definition_that_cannot_run_is_not_published_and_says_where() -> None:
    answer = create(client("admin"), do="publish", steps='[{"action": "delay", "duration": "soon"}]')
    assert answer.status_code == 422
    (problem,) = errors(answer, "steps")
    assert problem.startswith("/steps/0/duration: ")
    page = read(answer)
    assert page.one("#toast").text == "The draft is saved. It was not published."
    assert [field["value"] for field in page.all("input") if field.attributes.get("name") == "revision"] == [
        "1"
    ]
    assert stored().published is None


def test_after_a_refused_publication_the_form_can_be_sent_again() -> None:
    browser = client("admin")
    create(browser)
    refused = edit(browser, do="publish", steps='[{"action": "delay", "duration": "soon"}]')
    revision = next(
        field["value"] for field in read(refused).all("input") if field.attributes.get("name") == "revision"
    )
    assert (refused.status_code, revision) == (422, "2")
    assert edit(browser, do="publish", revision=revision).status_code == 302
    assert stored().published is not None


def test_of_two_who_edit_the_second_is_shown_both_versions_and_loses_nothing() -> None:
    create(client("admin"))
    theirs, mine = json.dumps([DELAY]), json.dumps([SEND])
    assert edit(client("admin"), steps=theirs, name="Theirs").status_code == 302
    answer = edit(client("admin"), steps=mine, name="Mine")
    assert answer.status_code == 412
    page = read(answer)
    assert (page.one("#steps").text, page.one("#name")["value"]) == (mine, "Mine")
    diff = page.one(".diff")
    assert [line.strip() for line in diff.texts(".theirs")] == [
        '- "steps": [{"action": "delay", "duration": "1 hour"}]'
    ]
    assert len(diff.texts(".mine")) == 8
    assert stored().name == "Theirs"
    revision = next(
        field["value"] for field in page.all("input") if field.attributes.get("name") == "revision"
    )
    assert edit(client("admin"), steps=mine, name="Mine", revision=revision).status_code == 302
    assert (stored().name, stored().draft["steps"]) == ("Mine", [SEND])


@pytest.mark.parametrize("revision", ["", "0", "-1", "x", "99999999999999999999"])
def test_a_form_without_a_revision_that_can_be_saves_nothing(revision: str) -> None:
    create(client("admin"))
    answer = edit(client("admin"), revision=revision, name="Over it")
    assert (answer.status_code, stored().name) == (412 if not revision else 422, "Welcome")


def test_without_javascript_a_button_shows_the_token_and_keeps_the_form() -> None:
    for address in ("/templates/new/", "/templates/welcome/"):
        answer = client("admin").post(
            address, {**NEW, "do": "preview", "steps": "[unfinished", "sample_data": '{"user_id": "u9"}'}
        )
        page = read(answer)
        assert (answer.status_code, page.one("#resolved-token").text) == (200, "user-u9")
        assert (page.one("#steps").text, page.one("#name")["value"]) == ("[unfinished", "Welcome")
        assert page.all(".errors") == []
        create(client("admin"))
    assert stored().draft_revision == 1


def test_the_sample_is_what_the_last_run_was_invoked_with() -> None:
    publish("welcome", json.loads(json.dumps({"steps": [DELAY]})))
    page = read(client("admin").get("/templates/welcome/"))
    assert page.one("#sample_data").text == '{"user_id": "user_123"}'
    invoke(definition=None, automation="welcome", data={"user_id": "u7"})
    page = read(client("admin").get("/templates/welcome/"))
    assert page.one("#sample_data").text == '{"user_id": "u7"}'


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_others_may_read_and_not_write(role: str) -> None:
    create(client("admin"))
    page = read(client(role).get("/templates/welcome/"))
    assert [fieldset.has("disabled") for fieldset in page.all("fieldset")] == [True, True]
    assert [button.text for button in page.all("button") if button.attributes.get("name") == "do"] == []
    assert page.one("#steps").text != ""
    assert (edit(client(role), name="Mine").status_code, stored().name) == (403, "Welcome")
    assert (create(client(role), key="other").status_code, Automation.objects.count()) == (403, 1)


def pretty(steps: list[dict[str, Any]]) -> str:
    publish("welcome", {"steps": steps})
    text: Element = read(client("admin").get("/templates/welcome/")).one("#steps")
    raw = text.children[0]
    assert isinstance(raw, str)
    return raw


def test_steps_are_laid_out_to_be_read() -> None:
    assert pretty([{**SEND, "id": "a-step-with-a-name-that-is-long"}, DELAY]) == (
        "[\n"
        "  {\n"
        '    "id": "a-step-with-a-name-that-is-long",\n'
        '    "action": "send",\n'
        '    "message": {"content": {"title": "Hi", "body": "Hello {{data.user_id}}"}}\n'
        "  },\n"
        '  {"action": "delay", "duration": "1 hour"}\n'
        "]"
    )


def test_what_was_typed_is_text_and_never_markup() -> None:
    evil = "</textarea><script>alert(1)</script>"
    answer = create(client("admin"), name=evil, steps=evil, token=evil, note=evil)
    assert b"<script>alert" not in answer.content
    assert read(answer).one("#name")["value"] == evil
