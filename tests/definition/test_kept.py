"""What is kept of a definition is read as it was given, and harms nobody where it cannot be read any more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automations.definition import Unreadable, in_our_words, parse, parse_kept

SEND = {"action": "send", "message": {"content": {"title": "Hi", "body": "there"}}}
INVOKE = {"action": "invoke", "template": "child"}
UPDATE = {"action": "update-profile", "profile": {"plan": "pro"}}


@pytest.mark.parametrize(
    "step",
    [
        {"duration": "PT1H"},
        {"until": "2026-12-01", "action": None},
        {"cancelation_token": "t"},
        {"cancelation_token": "t", "action": None, "reason": None},
        {"action": "cancel", "cancelation_token": "t", "cancellation_token": None},
        {"action": "cancel", "cancellation_token": "t", "cancelation_token": None},
        {"action": "cancel", "cancelation_token": None, "run_id": "refs.data.run"},
        {**SEND, "future": {"x": 1}},
        {**INVOKE, "context": {"data": {"a": 1}}},
        UPDATE,
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "token",
    [
        {},
        {"cancellation_token": "t"},
        {"cancelation_token": "t"},
        {"cancelation_token": "t", "cancellation_token": None},
        {"cancellation_token": "t", "cancelation_token": None},
        {"cancellation_token": None, "cancelation_token": None},
    ],
    ids=str,
)
def test_what_is_kept_is_read_as_what_was_given(step: dict[str, Any], token: dict[str, Any]) -> None:
    given = parse({**token, "steps": [step, SEND]}, strict=False)
    assert given.cancellation_token == ("t" if "t" in token.values() else None)
    assert parse_kept(given.source) == given
    sorted_keys = json.loads(
        json.dumps(given.source, sort_keys=True)
    )  # the order in which jsonb gives them back
    assert parse_kept(sorted_keys) == given
    assert "cancelation_token" not in json.dumps(given.source)


def test_what_was_accepted_once_and_cannot_be_read_now_fails_wherever_one_is() -> None:
    kept = parse_kept({"steps": [SEND, {"action": "dance"}]})
    assert (kept.steps, kept.fault[:48]) == ((), "/steps/1/action: action “dance” is not known; kn")
    assert [kept.step_at(position) for position in ("0", "7")] == [
        Unreadable(position=position, fault=kept.fault) for position in ("0", "7")
    ]
    assert (kept.before("0"), kept.before("1")) == (None, Unreadable(position="0", fault=kept.fault))


@pytest.mark.parametrize(
    ("draft", "kept"),
    [
        ({"cancelation_token": "t", "steps": "none yet"}, {"cancellation_token": "t", "steps": "none yet"}),
        ({"cancelation_token": "t", "cancellation_token": None}, {"cancellation_token": "t"}),
        ({"cancelation_token": None, "name": None}, {"name": None}),
        ({"steps": [{"cancelation_token": "u"}, 7]}, {"steps": [{"cancellation_token": "u"}, 7]}),
        ({"cancelation_token": "a", "cancellation_token": "b"}, {"cancelation_token": "a", "cancellation_token": "b"}),
    ],
)  # fmt: skip
def test_a_draft_has_our_spelling_however_unfinished_it_is(
    draft: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert in_our_words(draft) == kept
