"""What was added, removed, moved and changed between two definitions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automations.definition.difference import Member, difference

SEND: dict[str, Any] = {"action": "send", "message": {"content": {"title": "Hi", "body": "there"}}}
DAY: dict[str, Any] = {"action": "delay", "duration": "1 day"}
WEEK: dict[str, Any] = {"action": "delay", "duration": "1 week"}
A, B, C = ({"id": name, **SEND} for name in "abc")


def told(before: list[Any], after: list[Any]) -> list[str]:
    """Each step that differs, in a word: kind, from, to, and whether it moved."""
    return [
        f"{change.kind} {change.before}-{change.after}{' moved' if change.moved else ''}"
        for change in difference({"steps": before}, {"steps": after}).steps
        if change.differs
    ]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ([SEND, DAY], [SEND, DAY], []),
        ([SEND], [SEND, DAY], ["added None-1"]),
        ([SEND, DAY, SEND], [SEND, SEND], ["removed 1-None"]),
        ([SEND, DAY], [SEND, WEEK], ["changed 1-1"]),
        ([SEND, DAY], [DAY, SEND], ["same 1-0 moved"]),
        ([A, B, C], [C, A, B], ["same 2-0 moved"]),
        ([A, B, C], [B, C, A], ["same 0-2 moved"]),
        ([A, B], [{**B, "if": "true"}, A], ["changed 1-0 moved"]),
        ([A], [B], ["removed 0-None", "added None-0"]),
        ([DAY, SEND, WEEK], [WEEK], ["removed 0-None", "removed 1-None"]),
        ([A, DAY, B], [A, B], ["removed 1-None"]),
        (["x", 3], [3], ["removed 0-None"]),
    ],
)  # fmt: skip
def test_each_change_is_named(before: list[Any], after: list[Any], changes: list[str]) -> None:
    assert told(before, after) == changes


def test_a_change_says_which_members_differ() -> None:
    later = {**SEND, "message": {"content": {"title": "Ho", "body": "there"}}, "if": "true", "ref": None}
    (change,) = difference({"steps": [SEND]}, {"steps": [later]}).steps
    assert list(change.members) == [
        Member(path="message.content.title", before="Hi", after="Ho"),
        Member(path="if", before=None, after="true"),
    ]


def test_settings_are_told_apart_too() -> None:
    before = {"cancellation_token": "a-{{data.x}}", "steps": [DAY]}
    found = difference(before, {"steps": [DAY], "on_unresolved_token": "reject"})
    assert list(found.settings) == [
        Member(path="cancellation_token", before="a-{{data.x}}", after=None),
        Member(path="on_unresolved_token", before=None, after="reject"),
    ]
    assert difference(before, before).is_empty


def test_a_draft_without_a_list_of_steps_can_be_told_apart_too() -> None:
    found = difference({"steps": "x"}, {"steps": [DAY]})
    assert list(found.settings) == [Member(path="steps", before="x", after=[DAY])]
    assert found.steps == []


STEPS = st.lists(st.sampled_from([A, B, C, SEND, DAY, WEEK, "odd", 1, True, None]), max_size=7)


@given(before=STEPS, after=STEPS)
def test_every_step_of_both_is_told_once(before: list[Any], after: list[Any]) -> None:
    found = difference({"steps": before}, {"steps": after})
    olds = [change.before for change in found.steps if change.before is not None]
    news = [change.after for change in found.steps if change.after is not None]
    assert (sorted(olds), news) == (list(range(len(before))), list(range(len(after))))
    stayed = [change.before for change in found.steps if not change.moved and change.kind != "added"]
    kept = [place for place in stayed if place is not None]
    assert kept == sorted(kept)
    assert found.is_empty is (repr(before) == repr(after))
