"""Invoking an automation template from the browser, and the code that does the same."""

from __future__ import annotations

import ast
import json
import shlex
from typing import Any

import pytest

from automations.models import Invocation, Run
from automations.views.snippets import APIS, Call, snippets
from tests.pages import Element, read
from tests.people import client
from tests.scenes import DELAY, publish, run_of_uid

pytestmark = pytest.mark.django_db
FORM = {"sample_data": '{"user_id": "u1"}', "sample_profile": '{"email": "a@b.co"}', "sample_recipient": "r1",
        "idempotency_key": "k1", "do": "invoke"}  # fmt: skip
ADDRESS = "/templates/welcome/invoke"


@pytest.fixture(autouse=True)
def _published() -> None:
    publish("welcome", {"steps": [DELAY, DELAY], "cancellation_token": "${`user-${data.user_id}`}"})


def send(role: str = "operator", htmx: Any = False, **changes: str) -> Any:
    return client(role).post(ADDRESS, {**FORM, **changes}, headers={"HX-Request": "true"} if htmx else {})


def test_it_is_invoked_and_leads_to_the_run_with_the_token_that_was_shown() -> None:
    page = read(client("operator").get(ADDRESS))
    assert page.one("#resolved-token").text == "user-user_123"
    assert len(page.one("#idempotency_key")["value"]) == 36
    shown = read(send(do="preview")).one("#resolved-token").text
    run = Run.objects.select_related("invocation").get(uid=send()["Location"].split("/")[2])
    assert (run.token, run.recipient, run.source, run.profile) == (
        shown,
        "r1",
        "ui/otto",
        {"email": "a@b.co"},
    )
    assert (run.invocation.data, run.invocation.actor) == ({"user_id": "u1"}, "user/otto")


def test_sent_twice_it_is_one_run_and_htmx_is_led_there() -> None:
    first = send()["Location"]
    assert send(htmx=True)["HX-Redirect"] == first
    assert Invocation.objects.count() == 1
    again = send(sample_data='{"user_id": "u2"}')
    assert again.status_code == 422
    assert len(read(again).one("#form-errors").texts("li")) == 1


def test_delays_can_be_skipped() -> None:
    uid = send(skips_delays="on")["Location"].split("/")[2]
    assert run_of_uid(uid).public_status == "completed"


@pytest.mark.parametrize(
    ("changes", "field", "error"),
    [
        (
            {"sample_data": "{"},
            "sample_data",
            "Line 1, column 2: a name in double quotes, or }, is expected here",
        ),
        ({"sample_data": "{}"}, "sample_data", "data.user_id"),
        ({"sample_profile": "[]"}, "sample_profile", "This must be an object: { … }"),
        ({"idempotency_key": "é"}, "idempotency_key", "Printable ASCII characters only."),
    ],
)
def test_what_stands_against_it_is_said_at_the_field_and_nothing_runs(
    changes: dict[str, str], field: str, error: str
) -> None:
    answer = send(**changes)
    (words,) = read(answer).one(f"#{field}-errors").texts("li")
    assert (answer.status_code, error in words, Invocation.objects.count()) == (422, True, 0)
    if field.startswith("sample"):
        assert [one["id"] for one in read(answer).all("[autofocus]")] == [field]


def test_a_disabled_one_says_so() -> None:
    client("admin").post("/templates/welcome/disable", {"mode": "drain"})
    answer = send()
    assert (answer.status_code, read(answer).one("#form-errors").texts("li")) == (
        422, ["The automation “welcome” is disabled."],
    )  # fmt: skip


def test_a_preview_runs_nothing_and_complains_of_nothing() -> None:
    page = read(send(do="preview", sample_data="{"))
    assert (page.all(".errors"), page.one("#sample_data").text, Invocation.objects.count()) == ([], "{", 0)
    assert page.one("#token-result").text.startswith("Data: Line 1, column 2")


# -- the code -------------------------------------------------------------------------------------------

ODD: dict[str, Any] = {"o'brien": ['"`$(rm)\\ \u2028 é', True, None, 1.5, {"a": "</pre>"}]}
CALL = Call(
    host="https://h", automation="welcome", data=ODD, profile={"x": 1}, recipient="r'1", token="t-`1`'\""
)


def codes(api: str, call: Call) -> list[tuple[str, str]]:
    return [(code.language, code.text) for block in snippets(api, call) for code in block.codes]


@pytest.mark.parametrize("api", APIS)
def test_the_code_can_be_read_back_whatever_the_sample_holds(api: str) -> None:
    bare = Call(host="https://h", automation="welcome", data={}, profile={})
    for language, text in codes(api, CALL) + codes(api, bare):
        if language.startswith("Python"):
            ast.parse(text)
        elif language == "curl":
            words = shlex.split(text.replace("\\\n", " "))
            body = json.loads(words[words.index("-d") + 1])
            assert body.get("data", {}) in (ODD, {})
            assert "Authorization: Bearer $COUNTERMAND_KEY" in words


def use(role: str, api: str = "native") -> Element:
    return read(client(role).get(f"/templates/welcome/use?api={api}"))


@pytest.mark.parametrize("api", APIS)
def test_each_api_is_shown_with_this_host_and_the_token_of_the_sample(api: str) -> None:
    page = use("operator", api)
    assert page.one(f"#api-{api}").has("aria-current")
    texts = page.texts("pre")
    assert all("http://testserver" in text for text in texts)
    assert any("user-user_123" in text for text in texts)


def test_a_viewer_gets_the_code_without_a_token() -> None:
    assert (len(use("viewer").texts("pre")), use("viewer").all("#resolved-token")) == (6, [])
