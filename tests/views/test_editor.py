"""Creating an automation template in the browser, and its steps, settings and JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automations import publication
from automations.models import Automation
from tests.editing import DEFINITION, TOKEN, draft, get, post, said, stored
from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, SEND, production, publish

pytestmark = pytest.mark.django_db


def actions() -> list[str]:
    return [step["action"] for step in stored().draft["steps"]]


# -- a new one ------------------------------------------------------------------------------------------


def test_a_new_one_is_a_draft_without_steps() -> None:
    answer = client("admin").post(
        "/templates/new/", {"name": "Welcome", "key": "welcome", "alias": "Welcome mail"}
    )
    assert (answer.status_code, answer["Location"]) == (302, "/templates/welcome/")
    automation = stored()
    assert (automation.name, automation.alias, automation.draft, automation.published) == (
        "Welcome", "Welcome mail", {"steps": []}, None,
    )  # fmt: skip
    assert automation.updated_by == "user/ana"
    assert get().one("#problems").texts("li") == ["“steps” must be a list with at least one step"]


@pytest.mark.parametrize("sample", publication.samples(), ids=lambda sample: str(sample["key"]))
def test_it_can_begin_with_a_sample_which_can_be_published_as_it_stands(sample: dict[str, Any]) -> None:
    offered = read(client("admin").get(f"/templates/new/?sample={sample['key']}"))
    assert (offered.one("#name")["value"], offered.one("#key")["value"]) == (sample["name"], sample["key"])
    assert offered.one(f"#sample-{sample['key']}").has("checked")
    client("admin").post("/templates/new/", {"name": "W", "key": "welcome", "sample": sample["key"]})
    assert (stored().draft, stored().description) == (sample["definition"], sample["description"])
    assert post("publish").status_code == 302
    assert stored().published.number == 1


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("key", "Welcome!", "Up to 100 of a-z 0-9 _ . -, beginning with a letter or digit."),
        ("key", "new", "A key has up to 100 of a-z 0-9 _ . -, begins with a letter or digit, and is not reserved."),
        ("key", "taken", "There is already an automation “taken”."),
        ("key", "known-as", "Another automation has the alias “known-as”."),
        ("name", " ", "This field is required."),
        ("name", "a\0", "Null characters are not allowed."),
        ("alias", "x" * 256, "Ensure this value has at most 255 characters (it has 256)."),
        ("alias", "runs", "An alias is a text of up to 255 characters that does not end in “/” and is not reserved."),
        ("alias", "taken", "Another automation has the key “taken”."),
    ],
)  # fmt: skip
def test_what_will_not_do_is_said_at_its_field(field: str, value: str, error: str) -> None:
    publish("taken", {"steps": [DELAY]})
    Automation.objects.update(alias="known-as")
    fields = {"name": "Welcome", "key": "welcome", field: value}
    answer = client("admin").post("/templates/new/", fields)
    assert (answer.status_code, read(answer).one(f"#{field}-errors").texts("li")) == (422, [error])
    assert Automation.objects.count() == 1


# -- the list of steps ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "after", "leads_to"),
    [
        ("add.cancel", ["send", "delay", "cancel"], "steps/2?by=add"),
        ("up.1", ["delay", "send"], "steps/0?by=up"),
        ("down.0", ["delay", "send"], "steps/1?by=down"),
        ("copy.0", ["send", "send", "delay"], "steps/1?by=copy"),
        ("remove.0", ["delay"], ""),
    ],
)
def test_a_button_changes_the_list(do: str, after: list[str], leads_to: str) -> None:
    draft()
    answer = post(do=do)
    assert (answer.status_code, answer["Location"]) == (302, f"/templates/welcome/{leads_to}")
    assert (actions(), stored().draft_revision, stored().updated_by) == (after, 2, "user/ana")


def test_a_drop_does_what_the_buttons_do() -> None:
    draft()
    assert post(do="order", order="1,0").status_code == 302
    assert stored().draft == {**DEFINITION, "steps": [DELAY, SEND]}
    assert post(do="order", order="1,1").status_code == 422
    assert actions() == ["delay", "send"]


def test_every_step_has_its_line_with_what_is_wrong() -> None:
    draft({"steps": [SEND, {"action": "delay"}, {"action": "sing"}, "odd"]})
    lines = get().one(".steps").all("li")
    told = [line.one(f"#words-{place}").text for place, line in enumerate(lines)]
    assert told == ["Send Hi", "Delay 1 to mend", "sing 1 to mend", "Not a step yet 1 to mend"]


def test_the_focus_follows_a_step_that_moves() -> None:
    draft({**DEFINITION, "steps": [SEND, DELAY, SEND]})
    for moved, focused in (
        ("0?by=up", "down-0"),  # it cannot go further up
        ("1?by=up", "up-1"),
        ("1?by=down", "down-1"),
        ("2?by=down", "up-2"),
    ):
        assert [one["id"] for one in get(f"steps/{moved}").all("[autofocus]")] == [focused]
    assert [one["id"] for one in get("steps/1?by=add").all("[autofocus]")] == ["f-duration"]


# -- one step -------------------------------------------------------------------------------------------


def test_a_step_is_changed_and_keeps_what_its_form_does_not_know() -> None:
    draft({**DEFINITION, "steps": [{**SEND, "later": [1]}, DELAY], "max_duration": "1 day"})
    answer = post("steps/0", **{"message.content.title": "Ho", "if": "data.x", "retry.max_attempts": "5"})
    assert (answer.status_code, answer["Location"]) == (302, "/templates/welcome/steps/0")
    assert stored().draft == {
        "cancellation_token": TOKEN, "max_duration": "1 day", "steps": [
            {"action": "send", "later": [1], "if": "data.x", "retry": {"max_attempts": 5},
             "message": {"content": {"title": "Ho", "body": SEND["message"]["content"]["body"]}}}, DELAY,
        ],
    }  # fmt: skip


def test_htmx_is_told_that_it_was_saved_and_gets_the_next_revision() -> None:
    draft()
    answer = post("steps/1", htmx=True, duration="2 days")
    page = read(answer)
    assert (answer.status_code, page.one("#saved").text[:6]) == (200, "Saved ")
    revisions = {one["value"] for one in page.all("input") if one.attributes.get("name") == "revision"}
    assert (revisions, page.one("#words-1").text) == ({"2"}, "Delay 2 days")


def test_saving_what_stands_there_is_no_new_revision() -> None:
    draft()
    assert post("steps/1", duration="1 hour").status_code == 302
    assert stored().draft_revision == 1


def test_an_unfinished_step_is_saved_with_what_it_lacks_at_the_field() -> None:
    draft()
    page = read(post("steps/1", htmx=True, duration="soon", **{"if": ""}))
    assert stored().draft["steps"][1] == {"action": "delay", "duration": "soon"}
    assert said(page, "duration") == [
        "'soon' is not a duration; write “5 minutes”, “1 day 2 hours” or “PT1H”"
    ]


def test_what_cannot_be_read_is_not_saved_and_not_lost() -> None:
    draft()
    answer = post("steps/0", htmx=True, data="{", **{"message.content.title": "Ho"})
    page = read(answer)
    assert (answer.status_code, stored().draft_revision) == (422, 1)
    assert said(page, "data") == [
        "Not saved: Line 1, column 2: a name in double quotes, or }, is expected here"
    ]
    assert (page.one("#f-data").text, page.one("#f-message-content-title")["value"]) == ("{", "Ho")
    assert page.one("#saved").text == "Not saved: see the fields."


def test_an_action_without_a_form_can_be_named_and_leads_to_the_json() -> None:
    draft({"steps": [{"action": "branch", "paths": [1]}]})
    assert get("steps/0").one(".warning").text.startswith("This action has no form yet.")
    post("steps/0", id="fork")
    assert stored().draft["steps"] == [{"action": "branch", "paths": [1], "id": "fork"}]


@pytest.mark.parametrize("place", ["2", "99999999999999999999"])
def test_there_are_no_more_steps_than_there_are(place: str) -> None:
    draft({"steps": [SEND, "odd"]})
    assert client("admin").get(f"/templates/welcome/steps/{place}").status_code == 404
    assert post("steps/1").status_code == 404


# -- two people -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "mine"),
    [
        ("", {"do": "add.invoke"}),
        ("steps/0", {"message.content.title": "Mine"}),
        ("settings", {"name": "Mine", "cancellation_token": "mine-{{data.x}}"}),
        ("json", {"definition": '{"steps": [{"action": "delay", "duration": "9 days"}]}'}),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_the_second_is_shown_both_and_can_keep_either(place: str, mine: dict[str, str], htmx: bool) -> None:
    draft()
    opened = {"revision": "1", "base": json.dumps(stored().draft)}
    assert post(do="remove.1").status_code == 302
    theirs = stored()
    answer = post(place, htmx=htmx, **opened, **mine)
    assert answer.status_code == 412
    assert answer.get("HX-Retarget") == ("#editor" if htmx else None)
    assert (stored().draft, stored().name) == (theirs.draft, "Welcome")
    page = read(answer)
    assert "ana saved this draft" in page.one("#conflict").text
    assert page.one("#take-theirs")["href"] == "/templates/welcome/"
    form = page.one("#mine")
    kept = {one["name"]: one["value"] for one in form.all("input") if one["name"] != "csrfmiddlewaretoken"}
    again = client("admin").post(form["action"], kept | {"definition": form.one("#definition").text})
    assert again.status_code == 302
    steps = stored().draft["steps"]
    assert {
        "": [step["action"] for step in steps] == ["send", "delay", "invoke"],
        "steps/0": steps[0] | {"message": 0} == SEND | {"message": 0} and steps[1] == DELAY,
        "settings": (stored().name, steps) == ("Mine", [SEND, DELAY]),
        "json": steps == [{"action": "delay", "duration": "9 days"}],
    }[place]


def test_the_difference_says_what_mine_would_change_in_theirs() -> None:
    draft()
    opened = {"revision": "1", "base": json.dumps(stored().draft)}
    post(do="remove.1")
    page = read(post("steps/0", **opened, **{"message.content.title": "Mine"}))
    assert [change["class"] for change in page.one(".changes").all("li") if "class" in change.attributes] == [
        "changed", "added",
    ]  # fmt: skip
    assert page.one(".changes").texts("del") + page.one(".changes").texts("ins") == [
        'theirs: "Hi"',
        'yours: "Mine"',
    ]


@pytest.mark.parametrize("revision", ["", "0", "-1", "x", "99999999999999999999"])
def test_a_form_without_a_revision_that_can_be_saves_nothing(revision: str) -> None:
    draft()
    assert post("json", revision=revision, definition='{"steps": []}').status_code == 412
    assert stored().draft == DEFINITION


# -- JSON -----------------------------------------------------------------------------------------------


def test_the_json_is_the_whole_and_comes_back_as_it_was() -> None:
    whole = {**DEFINITION, "cancel_on": [{"event": "order.paid"}], "later": {"a": [1, None]}}
    draft(whole)
    text = get("json").one("#definition").text
    assert json.loads(text) == whole
    assert post("json", definition=text.replace("\n", "\r\n")).status_code == 302
    assert (stored().draft, stored().draft_revision) == (whole, 1)
    assert post("json", definition='{"steps": [], "x": 1}').status_code == 302
    assert stored().draft == {"steps": [], "x": 1}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"steps": [{"a": 1,\n "b": delay}]}', "Line 2, column 7: a value is expected here"),
        ("[]", "This must be an object: { … }"),
        ("", "This field is required."),
        ('{"a": 1, "a": 2}', "“a” is given twice in one object"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "This is nested deeper than 64 levels"),
        (json.dumps({"a": "x" * 300_000}), "A definition may have at most 256 KiB."),
    ],
)
def test_what_is_no_definition_says_where(text: str, error: str) -> None:
    draft()
    answer = post("json", definition=text)
    assert (answer.status_code, read(answer).one("#definition-errors").texts("li")) == (422, [error])
    assert stored().draft == DEFINITION


@pytest.mark.parametrize("text", ["[]", "", '{"steps": ['])
def test_what_is_no_definition_is_not_told_what_the_stored_draft_lacks(text: str) -> None:
    draft({"steps": [{"action": "delay", "duration": "x"}]})
    assert len(get("json").one("#problems").texts("li")) == 1
    answer = read(post("json", definition=text))
    assert (answer.all("#problems"), len(answer.one("#definition-errors").texts("li"))) == ([], 1)


def test_the_other_spelling_of_the_token_is_read_and_replaced_by_ours() -> None:
    draft({"cancellation_token".replace("ll", "l"): "user-1", "steps": [DELAY]})
    assert get("settings").one("#f-cancellation-token").text == "user-1"
    post("settings", name="Welcome", cancellation_token="user-2")
    assert stored().draft == {"steps": [DELAY], "cancellation_token": "user-2"}


# -- roles and markup -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_others_may_read_and_not_write(role: str) -> None:
    publish("welcome", DEFINITION)
    for place in ("", "steps/0", "json", "settings", "versions", "use"):
        page = get(place, role)
        names = {one.attributes.get("name") for one in page.all("button")} - {
            "theme",
            "zone",
            "environment",
            None,
        }
        assert names <= ({"do"} if (place, role) == ("settings", "operator") else set())
        assert [one["id"] for one in page.all(".verbs")[0].all("a")] == (
            ["to-invoke"] if role == "operator" else []
        )
    assert [one.has("disabled") for one in get("steps/0", role).all("fieldset")] == [True]
    assert [one.text for one in get("settings", role).all("#token-result")] == (
        ["The token for the sample below shows here."] if role == "operator" else []
    )


@pytest.mark.parametrize(
    "definition",
    [
        {}, {"steps": "x", "cancellation_token": {"a": 1}}, {"steps": None, "concurrency": [], "cancel_on": 3},
        {"steps": [{"action": []}, {"action": {"a": 1}, "if": {}}, {}, 0, None, [], {**SEND, "message": "x"}]},
    ],
)  # fmt: skip
def test_a_draft_may_say_anything(definition: dict[str, Any]) -> None:
    publish("welcome", DEFINITION)
    publication.save_draft(environment=production(), key="welcome", definition=definition, by="user/ana")
    steps = len(definition.get("steps") or ()) if isinstance(definition.get("steps"), list) else 0
    places = [f"steps/{place}" for place in range(steps)]
    for place in ("", *places, "json", "settings", "versions", "publish", "use", "invoke"):
        assert get(place).one("h1").text == "welcome"
    assert client("viewer").get("/templates/").status_code == 200


def test_what_was_typed_is_text_and_never_markup() -> None:
    evil = "</textarea><script>alert(1)</script>"
    draft(
        {
            "cancellation_token": evil,
            "steps": [{"action": evil, "name": evil, "if": evil}, {**SEND, "id": evil}],
        }
    )
    Automation.objects.update(name=evil, description=evil)
    for place in ("", "steps/0", "steps/1", "json", "settings", "versions", "publish", "use", "invoke"):
        answer = client("admin").get(f"/templates/welcome/{place}")
        assert (answer.status_code, b"<script>alert" in answer.content) == (200, False)
        assert read(answer).one("h1").text == evil


def test_a_step_is_removed_once_the_question_is_answered() -> None:
    draft()
    before = stored().draft
    carried = {"revision": "1", "base": json.dumps(before)}
    asked = post(do="ask.1", **carried)
    page = read(asked)
    assert (asked.status_code, stored().draft) == (200, before)
    assert [(one["name"], one["value"]) for one in page.all("#remove-1")] == [("do", "remove.1")]
    assert (page.one("#keep-1")["href"], page.all("#remove-0")) == ("/templates/welcome/", [])
    kept = {one["name"]: one["value"] for one in page.one("#guard-list").all("input")}
    assert {
        name: kept[name] for name in carried
    } == carried  # what somebody saved meanwhile is not removed unseen
    assert post(do="remove.1", **carried).status_code == 302
    assert stored().draft["steps"] == [before["steps"][0], *before["steps"][2:]]
    for odd in ("ask.9", "ask.x", "ask.-1"):
        assert read(post(do=odd)).all(".sure") == []


def test_a_text_that_would_be_sent_as_it_is_written_is_said_at_its_field() -> None:
    draft()
    body = read(post("steps/0", htmx=True, **{"message.content.body": "Hello ${data.name}!"}))
    said = body.one("#said-f-message-content-body")
    assert "${...} counts only as the whole string" in said.text
    suggested = said.one("[data-suggest]")
    assert (suggested["data-suggest"], suggested["data-into"]) == (
        "${`Hello ${data.name}!`}", "#f-message-content-body",
    )  # fmt: skip
    assert body.one("#said-f-message-content-title").text == ""
    whole = read(post("steps/0", htmx=True, **{"message.content.body": "${`Hello ${data.name}!`}"}))
    assert whole.one("#said-f-message-content-body").text == ""


def test_whoever_disables_it_is_not_said_to_have_saved_the_draft() -> None:
    draft()
    post("publish")
    publication.disable(environment=production(), key="welcome", by="user/otto")
    said = get().one("#changed").text
    assert (said.endswith(" by otto"), "Saved" in said) == (True, False)
