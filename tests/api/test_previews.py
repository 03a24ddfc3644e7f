"""What a token expression would give."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Caller, decoded, refused
from tests.scenes import DELAY, invoke, publish

pytestmark = pytest.mark.django_db
PATH = "/api/v1/preview-token"


def preview(api: Caller, expression: str, data: Any = None, path: str = PATH) -> Any:
    return decoded(api.post(path, {"expression": expression, "data": data or {}, "profile": {"mail": "a@b"}}))


@pytest.mark.parametrize(
    ("expression", "mode", "token", "warnings"),
    [
        ("all", "literal", "all", ["constant"]),
        ("refs.data.user_id", "refs", "u1", []),
        ("${`x-${data.user_id}`}", "javascript", "x-u1", []),
        ("x-{{data.user_id}}-{{profile.mail}}", "text", "x-u1-a@b", []),
        ("x-refs.data.user_id", "literal", "x-refs.data.user_id", ["looks_like_refs", "constant"]),
    ],
)
def test_each_form_is_named_with_its_token(
    api: Caller, expression: str, mode: str, token: str, warnings: list[str]
) -> None:
    answer = preview(api, expression, {"user_id": "u1"})
    assert answer == {"token": token, "mode": mode, "warnings": warnings, "unfinished_runs": 0}


def test_a_missing_path_is_named(api: Caller) -> None:
    answer = preview(api, "refs.data.user_id")
    assert answer["token"] is None
    assert (answer["error"]["kind"], answer["error"]["paths"]) == ("unresolved", ["data.user_id"])
    assert (answer["warnings"], answer["unfinished_runs"]) == (["unresolved"], 0)


def test_runs_that_bear_the_token_now_are_counted(api: Caller) -> None:
    invoke(DELAY, token="u1")
    invoke(DELAY, key="u1")
    invoke(DELAY, token="u2")
    assert preview(api, "refs.data.user_id", {"user_id": "u1"})["unfinished_runs"] == 2


def test_an_automations_own_draft_is_previewed(api: Caller) -> None:
    publish("trial", {"cancelation_token": "refs.data.user_id", "steps": [DELAY]})
    path = "/api/v1/automations/trial/preview-token"
    assert decoded(api.post(path, {"data": {"user_id": "u1"}}))["token"] == "u1"
    assert preview(api, "other", path=path)["token"] == "other"


def test_what_has_no_expression_cannot_be_previewed(api: Caller) -> None:
    publish("trial", {"steps": [DELAY]})
    for path in (PATH, "/api/v1/automations/trial/preview-token"):
        assert refused(api.post(path, {"data": {}})) == (422, "required", [("/expression", "required")])


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"expression": 5}, "invalid", "/expression"),
        ({"expression": ""}, "invalid", "/expression"),
        ({"expression": "x" * 2001}, "too_long", "/expression"),
        ({"expression": "x", "data": []}, "invalid", "/data"),
        ({"expression": "x", "profile": "p"}, "invalid", "/profile"),
        ({"expression": "x", "data": {"a": "b" * 262_144}}, "data_too_large", "/data"),
        ({"expression": "x", "recipient": "u"}, "unknown_field", "/recipient"),
    ],
)
def test_a_preview_says_what_is_wrong_with_it(api: Caller, body: Any, code: str, pointer: str) -> None:
    assert refused(api.post(PATH, body)) == (422, code, [(pointer, code)])


@pytest.mark.parametrize(
    "expression", ["${while(true){}}", "${", "${throw 1}", "${({}).x.y}", "{{", "${`\\u0000`}"]
)
def test_a_hostile_expression_is_explained_not_suffered(api: Caller, expression: str) -> None:
    assert preview(api, expression)["token"] in (None, "${", "{{")
