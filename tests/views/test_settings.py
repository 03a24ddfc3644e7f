"""The settings of an automation template, and the workbench of its token."""

from __future__ import annotations

import pytest

from tests.editing import draft, get, post, said, stored
from tests.pages import read
from tests.scenes import DELAY, SEND, invoke, publish

pytestmark = pytest.mark.django_db


def test_settings_are_saved_and_the_steps_stay() -> None:
    draft()
    fields = {"name": "Renamed", "alias": "w", "description": "Says hello", "cancellation_token": "", "key": "other",
              "on_unresolved_token": "run_without_token", "concurrency.key": "refs.data.cart",
              "concurrency.policy": "reject_new", "cancel_on": '[{"event": "paid"}]'}  # fmt: skip
    assert post("settings", **fields).status_code == 302
    automation = stored()
    assert (automation.name, automation.alias, automation.description) == ("Renamed", "w", "Says hello")
    assert automation.draft == {
        "steps": [SEND, DELAY], "on_unresolved_token": "run_without_token", "cancel_on": [{"event": "paid"}],
        "concurrency": {"key": "refs.data.cart", "policy": "reject_new"},
    }  # fmt: skip


def test_what_is_wrong_with_a_setting_stands_at_its_field() -> None:
    publish("other", {"steps": [DELAY]}, alias="taken")
    draft()
    answer = post("settings", name="Welcome", alias="taken", cancel_on="{")
    assert said(read(answer), "cancel-on") == [
        "Not saved: Line 1, column 2: a name in double quotes, or }, is expected here"
    ]
    answer = post("settings", name="Welcome", alias="taken", **{"concurrency.key": "x"})
    assert read(answer).one("#alias-errors").texts("li") == ["Another automation has the alias “taken”."]
    post("settings", name="Welcome", **{"concurrency.key": "x"})
    assert said(get("settings"), "concurrency-policy") == [
        "“policy” is required, one of: allow, cancel_previous, reject_new"
    ]


def test_the_sample_is_what_the_last_run_was_invoked_with_or_the_one_that_is_chosen() -> None:
    publish("welcome", {"steps": [DELAY], "cancellation_token": "a-{{data.order_id}}"})
    assert get("settings").one("#sample_data").text == '{"order_id": "order_123"}'
    first = invoke(definition=None, automation="welcome", data={"order_id": "o7"}, recipients=["r1"]).runs[0][
        "id"
    ]
    invoke(definition=None, automation="welcome", data={"order_id": "o8"})
    assert get("settings").one("#sample_data").text == '{"order_id": "o8"}'
    chosen = get(f"settings?run={first}")
    assert (chosen.one("#sample_data").text, chosen.one("#sample_recipient")["value"]) == (
        '{"order_id": "o7"}',
        "r1",
    )
    assert len(chosen.one(".recent-runs").all("li")) == 2


def test_without_javascript_a_button_tries_the_token_and_keeps_the_form() -> None:
    draft()
    answer = post(
        "settings",
        do="preview",
        name="",
        cancellation_token="x-{{data.a}}",
        sample_data='{"a": 1}',
        cancel_on="[",
    )
    page = read(answer)
    assert (answer.status_code, page.one("#resolved-token").text) == (200, "x-1")
    assert (page.one("#f-cancellation-token").text, page.one("#f-cancel-on").text) == ("x-{{data.a}}", "[")
    assert (stored().draft_revision, page.one("#name")["value"]) == (1, "")
