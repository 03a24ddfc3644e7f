"""The live preview of a cancellation token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automations.models import Automation
from tests.pages import Element, read
from tests.people import client
from tests.scenes import DELAY, invoke, publish

pytestmark = pytest.mark.django_db


def preview(
    token: str, data: str = '{"user_id": "u1"}', role: str = "admin", key: str = "b", **more: str
) -> Element:
    if key == "b" and not Automation.objects.exists():
        publish("b", {"steps": [DELAY]}, name="Another")
    fields = {"cancellation_token": token, "sample_data": data, "sample_profile": "", **more}
    answer = client(role).post(f"/templates/{key}/token-preview", fields, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    return read(answer).one("#token-result")


def said(element: Element) -> list[str]:
    """The paragraphs, the figure of the milliseconds left out."""
    return [
        " · ".join(part for part in text.split(" · ") if not part.endswith(" ms"))
        for text in element.texts("p")
    ]


@pytest.mark.parametrize(
    ("expression", "form", "token"),
    [
        ("refs.data.user_id", "refs path", "u1"),
        ("refs.profile.account.id", "refs path", "7"),
        ("${`user-${data.user_id}`}", "JavaScript", "user-u1"),
        ("${`${data.flow}-${data.user_id}`}", "JavaScript", "trial-u1"),
        ("${'user-' + data.user_id}", "JavaScript", "user-u1"),
        ("${refs.recipient + data.user_id}", "JavaScript", "r1u1"),
        ("user-{{data.user_id}}", "Text with {{path}}", "user-u1"),
        ("one-for-all", "Literal", "one-for-all"),
    ],
)
def test_it_shows_the_token_that_a_run_would_get(expression: str, form: str, token: str) -> None:
    publish("a", {"steps": [DELAY], "cancellation_token": expression}, name="Reminder")
    data, profile = {"user_id": "u1", "flow": "trial"}, {"account": {"id": 7}}
    run = invoke(definition=None, automation="a", data=data, profile=profile, recipients=["r1"]).runs[0]
    sample = {"sample_profile": json.dumps(profile), "sample_recipient": "r1"}
    shown = preview(expression, json.dumps(data), key="a", **sample)
    assert shown.one("#resolved-token").text == run["cancellation_token"] == token
    assert said(shown)[:2] == [f"→ {token}", f"{form} · 1 unfinished run has this token now"]
    assert shown.one(".sharing").texts("li") == ["1 of Reminder"]


def test_it_names_other_automations_whose_runs_have_the_token() -> None:
    publish("a", {"steps": [DELAY], "cancellation_token": "user-{{data.user_id}}"}, name="Reminder")
    publish("b", {"steps": [DELAY], "cancellation_token": "user-{{data.user_id}}"}, name="Other")
    for key in ("a", "b", "a"):
        invoke(definition=None, automation=key)
    shown = preview("user-{{data.user_id}}", key="b")
    assert shown.one(".sharing").texts("li") == ["2 of Reminder", "1 of Other"]
    assert said(shown)[1:] == [
        "Text with {{path}} · 3 unfinished runs have this token now",
        "Runs of other automations have it too: Reminder.",
    ]


def test_it_warns_of_a_token_that_all_would_share() -> None:
    assert said(preview("onboarding")) == [
        "→ onboarding",
        "Literal · 0 unfinished runs have this token now",
        "Reads no data: every run would share this token, and one cancel would stop them all.",
    ]


def test_it_suggests_what_was_probably_meant() -> None:
    shown = preview("onboarding-refs.data.user_id")
    assert "${`onboarding-${data.user_id}`}" in [button["data-suggest"] for button in shown.all("button")]
    assert shown.texts(".token") == ["onboarding-refs.data.user_id"]


@pytest.mark.parametrize(
    ("choice", "consequence"),
    [
        ("reject", "An invoke with such data is refused."),
        ("run_without_token", "A run with such data gets no token: no cancel by token will find it."),
    ],
)
def test_a_missing_field_is_named_with_what_follows(choice: str, consequence: str) -> None:
    shown = preview("user-{{data.user.id}}", on_unresolved_token=choice)
    problem, then = shown.texts("p")
    assert problem.startswith("No token: ")
    assert "data.user.id" in problem
    assert then == consequence


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ('{"a": 1,}', "Data: Line 1, column "),
        ("[1]", "Data: This must be an object: { … }"),
        ('{"a": 1, "a": 2}', "Data: “a” is given twice in one object"),
        ('{"a": NaN}', "Data: NaN is not JSON"),
        ('{"a": [-1e999]}', "Data: -1e999 is larger than any number that can be stored"),
        ('{"a": "\\u0000"}', "Data: This holds a NUL character or half a surrogate pair"),
        ("[" * 100_000, "Data: This is nested deeper than 64 levels"),
        ('{"a":' * 65 + "1" + "}" * 65, "Data: This is nested deeper than 64 levels"),
        ("9" * 5000, "Data: "),
    ],
)  # fmt: skip
def test_a_sample_that_is_not_json_says_where(data: str, fault: str) -> None:
    (words,) = preview("x", data).texts("p")
    assert words.startswith(fault)


@pytest.mark.parametrize(
    ("expression", "tokens"),
    [("${while(true){}}", []), ("${throw 1}", []), ("${({}).x.y}", []), ("x" * 2001, []), ("${", ["${"])],
)
def test_no_expression_breaks_it(expression: str, tokens: list[str]) -> None:
    assert preview(expression).texts("#resolved-token") == tokens


def test_an_empty_token_is_a_choice() -> None:
    assert said(preview("")) == [
        "No token: runs can be cancelled one by one, or by a key that the invoke gives."
    ]


def test_what_the_sample_holds_is_text_and_never_markup() -> None:
    evil = "<script>alert(1)</script>"
    publish("b", {"steps": [DELAY]})
    answer: Any = client("admin").post(
        "/templates/b/token-preview",
        {"cancellation_token": "{{data.x}}", "sample_data": f'{{"x": "{evil}"}}'},
    )
    assert evil.encode() not in answer.content
    assert read(answer).one("#resolved-token").text == evil


def test_five_a_second_are_enough() -> None:
    publish("b", {"steps": [DELAY]})
    otto, ana = client("operator"), client("admin")
    answers = [
        otto.post("/templates/b/token-preview", {"cancellation_token": "x"}).status_code for _ in range(16)
    ]
    assert answers[:5] == [200] * 5
    assert 429 in answers
    assert ana.post("/templates/b/token-preview", {"cancellation_token": "x"}).status_code == 200


def test_nothing_of_the_sample_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        preview("${throw new Error(data.user_id)}", '{"user_id": "private-7"}')
    assert "private-7" not in caplog.text
