"""Message templates over the native API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automations.directory import templates
from automations.models import Environment, MessageTemplate
from tests.api.conftest import Caller, decoded, refused
from tests.letters import template

pytestmark = pytest.mark.django_db
PATH = "/api/v1/message-templates"
GIVEN: dict[str, Any] = {
    "key": "WELCOME.1", "name": "Welcome", "title": "Hi {{profile.name}}", "body": "You have {{data.plan}}.",
    "channels": {"console": {"body": "${`${data.plan}!`}"}},
}  # fmt: skip


def test_a_message_template_is_created_replaced_and_removed(api: Caller) -> None:
    made = decoded(api.post(PATH, GIVEN), 201)
    assert made == {
        **GIVEN, "created_at": made["created_at"], "updated_at": made["created_at"],
        "updated_by": "key/backend",
    }  # fmt: skip
    one = f"{PATH}/WELCOME.1"
    assert api.get(one) == made
    again = decoded(api.put(one, {"body": "Only this"}))
    assert {name: again[name] for name in ("key", "name", "title", "body", "channels")} == {
        "key": "WELCOME.1", "name": None, "title": "", "body": "Only this", "channels": {},
    }  # fmt: skip
    assert again["updated_at"] > made["updated_at"]
    assert api.send("DELETE", one).status_code == 204
    for method, path, body in (("GET", one, b""), ("PUT", one, b'{"body": "x"}'), ("DELETE", one, b""),
                               ("POST", f"{one}/preview", b"{}")):  # fmt: skip
        assert refused(api.send(method, path, body))[:2] == (404, "message_template_not_found")


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"key": None}, "/key", "required"),
        ({"key": "a b"}, "/key", "invalid"),
        ({"key": "-a"}, "/key", "invalid"),
        ({"title": None, "body": None}, "/body", "required"),
        ({"title": 5}, "/title", "invalid"),
        ({"title": "x" * 2001}, "/title", "too_long"),
        ({"body": "x" * 65_537}, "/body", "too_long"),
        ({"channels": []}, "/channels", "invalid"),
        ({"channels": {"pigeon": {}}}, "/channels/pigeon", "invalid"),
        ({"channels": {"email": 5}}, "/channels/email", "invalid"),
        ({"channels": {"email": {}}}, "/channels/email/body", "required"),
        ({"channels": {"email": {"body": "x", "from": "y"}}}, "/channels/email/from", "unknown_field"),
        ({"brand": "b"}, "/brand", "unknown_field"),
    ],
)
def test_what_is_wrong_with_a_message_template_is_pointed_at(
    api: Caller, change: dict[str, Any], pointer: str, code: str
) -> None:
    assert refused(api.post(PATH, {**GIVEN, **change}))[2] == [(pointer, code)]
    assert MessageTemplate.objects.count() == 0


def test_a_key_is_taken_once_in_an_environment(api: Caller) -> None:
    template("WELCOME.1", environment=Environment.objects.get(key="test"))
    decoded(api.post(PATH, GIVEN), 201)
    assert refused(api.post(PATH, GIVEN))[2] == [("/key", "taken")]


def test_an_environment_has_so_many_at_most(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MOST_TEMPLATES", 1)
    template()
    assert refused(api.post(PATH, GIVEN))[:2] == (422, "too_many_templates")


def test_a_preview_says_what_would_be_sent_and_what_was_missing(api: Caller) -> None:
    template("t", **{name: GIVEN[name] for name in ("title", "body", "channels")})
    body = {"data": {"plan": "pro"}, "profile": {"name": "Ada"}, "channel": "email"}
    assert decoded(api.post(f"{PATH}/t/preview", body)) == {
        "title": "Hi Ada", "body": "You have pro.", "warnings": [],
    }  # fmt: skip
    assert decoded(api.post(f"{PATH}/t/preview", {"data": {"plan": "pro"}})) == {
        "title": "Hi ", "body": "pro!", "warnings": ["missing, so left empty: profile.name"],
    }  # fmt: skip


def test_a_preview_of_an_expression_without_a_value_is_refused(api: Caller) -> None:
    template("t", body="${nothing.at.all}")
    assert refused(api.post(f"{PATH}/t/preview", {}))[:2] == (422, "runtime")


def test_message_templates_are_listed_newest_first_without_what_they_say(
    api: Caller, django_assert_num_queries: Any
) -> None:
    for key in ("a", "b", "c"):
        template(key)
    template("foreign", environment=Environment.objects.get(key="test"))
    first = api.get(f"{PATH}?limit=2")
    with django_assert_num_queries(2):  # the key, the templates
        second = api.get(f"{PATH}?cursor={first['next_cursor']}")
    assert [item["key"] for page in (first, second) for item in page["items"]] == ["c", "b", "a"]
    assert set(second["items"][0]) == {"key", "name", "created_at", "updated_at", "updated_by"}


def test_another_environment_s_template_is_not_found(api: Caller) -> None:
    template("t", environment=Environment.objects.get(key="test"))
    for method, end in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/preview")):
        body = json.dumps({"body": "x"} if method == "PUT" else {}).encode()
        assert refused(api.send(method, f"{PATH}/t{end}", body))[0] == 404
    assert MessageTemplate.objects.get().title == "Hi {{profile.name}}"
