"""The fields of a step: what they show of it, what they write back, and that nothing else is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automations.definition import ACTIONS, DefinitionError, Problem, parse
from automations.definition.inputs import ACTION_INPUTS, SETTINGS, Input, Look
from automations.forms.inputs import Field, fields_of, inputs_of, point_out, written
from automations.forms.step_list import changed, summary_of

pytestmark = pytest.mark.pure
SEND: dict[str, Any] = {"action": "send", "message": {"content": {"title": "Hi", "body": "there"}}}
EXAMPLES: dict[Look, Any] = {
    "text": "x", "long": "x", "condition": "true", "flag": True, "number": 3, "object": {"a": "b"}, "values": {"a": 1},
    "list": [{"event": "e"}], "lines": ["x"],
}  # fmt: skip


def browser(field: Field) -> str:
    """What a browser sends for a field that nobody touched."""
    if field.input.look == "flag":
        return "on" if field.value else ""
    if field.is_long:
        return field.value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    return field.value.replace("\n", "").replace("\r", "")


def put(members: Any, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        members = members.setdefault(name, {})
        if not isinstance(members, dict):
            return
    members[path[-1]] = value


def test_every_action_has_its_fields() -> None:
    assert set(ACTION_INPUTS) == ACTIONS


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_the_parser_knows_every_field(action: str) -> None:
    for one in ACTION_INPUTS[action].inputs:
        for path in (one.path, *one.others):
            step: dict[str, Any] = {"action": action}
            put(step, path, one.choices[0] if one.choices else EXAMPLES[one.look])
            assert unknown({"steps": [step]}) == [], path


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_every_action_says_how_often_it_is_tried_and_what_becomes_of_a_lost_attempt(action: str) -> None:
    names = [one.name for one in ACTION_INPUTS[action].inputs if one.more]
    tries = ["timeout", "retry.max_attempts", "retry.interval", "retry.backoff", "on_crash"]
    assert [name for name in names if name in tries] == tries


def test_the_parser_knows_every_setting() -> None:
    for one in SETTINGS:
        definition: dict[str, Any] = {"steps": [SEND]}
        put(definition, one.path, one.choices[0] if one.choices else EXAMPLES[one.look])
        assert unknown(definition) == []


def unknown(definition: dict[str, Any]) -> list[str]:
    try:
        parse(definition)
    except DefinitionError as error:
        return [one.pointer for one in error.problems if one.code in ("unknown_field", "not_supported")]
    return []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text("ab {\"\n\r ${é", max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab$", max_size=2), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@st.composite
def steps(draw: st.DrawFn) -> dict[str, Any]:
    """A step with some of its members, each of any shape, and some that no field is for."""
    action = draw(st.sampled_from([*sorted(ACTIONS), "branch"]))
    step = draw(st.dictionaries(st.text("xyz", min_size=1, max_size=2), JSON, max_size=2))
    step["action"] = action
    for one in draw(st.lists(st.sampled_from(inputs_of(step)), max_size=5)):
        put(step, draw(st.sampled_from([one.path, *one.others])), draw(JSON))
    return step


@given(step=steps())
def test_a_form_that_is_sent_as_it_came_changes_nothing(step: dict[str, Any]) -> None:
    inputs = inputs_of(step)
    sent = {field.input.name: browser(field) for field in fields_of(step, inputs)}
    result, fields = written(step, inputs, sent)
    assert json.dumps(result) == json.dumps(step)
    assert [field.errors for field in fields if field.errors] == []


TEXT = st.text("ab{}$`. é", min_size=1, max_size=8).map(str.strip).filter(bool)
TYPED: dict[Look, st.SearchStrategy[str]] = {
    "text": TEXT, "condition": TEXT, "number": st.integers(0, 99).map(str) | TEXT, "flag": st.sampled_from(["", "on"]),
    "long": st.lists(TEXT, min_size=1, max_size=3).map("\n".join), "object": st.just('{"a": 1}'),
    "lines": st.lists(TEXT, min_size=1, max_size=3).map("\n".join), "list": st.just("[1]"),
    "values": st.sampled_from(['{"a": 1}', "refs.data.x", "{{data.x}}"]),
}  # fmt: skip


@given(data=st.data(), action=st.sampled_from(sorted(ACTIONS)))
def test_what_is_typed_is_shown_again(data: st.DataObject, action: str) -> None:
    inputs = ACTION_INPUTS[action].inputs
    chosen = data.draw(st.lists(st.sampled_from(inputs), unique_by=lambda one: one.name))
    typed = {
        one.name: data.draw(st.sampled_from(one.choices) if one.choices else TYPED[one.look])
        for one in chosen
    }
    step, fields = written({"action": action}, inputs, typed)
    assert [field.errors for field in fields if field.errors] == []
    assert {field.input.name: field.value for field in fields_of(step, inputs) if field.value} == {
        name: value for name, value in typed.items() if value
    }
    emptied, _ = written(step, inputs, dict.fromkeys(typed, ""))
    assert emptied == {"action": action}


def test_what_a_vendor_puts_elsewhere_stays_there() -> None:
    step = {"action": "send", "message": {"template": "welcome", "to": {"user_id": "u"}}}
    result, _ = written(step, inputs_of(step), {"template": "other", "recipient": "v"})
    assert result == {"action": "send", "message": {"template": "other", "to": {"user_id": "v"}}}


def test_what_the_form_does_not_know_is_kept() -> None:
    step = {**SEND, "later": {"a": [1]}, "message": {**SEND["message"], "odd": 1}}
    result, _ = written(step, inputs_of(step), {"message.content.title": "Ho"})
    assert result["message"] == {"content": {"title": "Ho", "body": "there"}, "odd": 1}
    assert result["later"] == {"a": [1]}


def test_a_member_of_another_shape_is_shown_and_left_alone() -> None:
    step = {"action": "delay", "duration": {"$ref": "data.wait"}}
    field = next(one for one in fields_of(step, inputs_of(step)) if one.input.name == "duration")
    assert (field.foreign, field.value) == (True, '{"$ref": "data.wait"}')
    assert written(step, inputs_of(step), {"duration": "1 day"})[0] == step


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("data", "{", "Line 1, column 2: a name in double quotes, or }, is expected here"),
        ("data", "[1]", "This must be an object: { … }"),
        ("template", "a\0", "This holds a NUL character or half a surrogate pair, which cannot be stored"),
    ],
)
def test_what_cannot_be_read_is_said_and_not_written(name: str, text: str, error: str) -> None:
    step = {"action": "invoke", "template": "a", "data": {"x": 1}}
    result, fields = written(step, inputs_of(step), {name: text})
    (field,) = [one for one in fields if one.errors]
    assert (result, field.input.name, field.value, field.errors) == (step, name, text, [error])


@pytest.mark.parametrize(
    ("pointer", "name"),
    [
        ("/steps/1/message/content/body", "message.content.body"),
        ("/steps/1/message", "message.content.title"),
        ("/steps/1/retry/max_attempts", "retry.max_attempts"),
        ("/steps/1/data/a~1b", "data"),
        ("/steps/1/message/template", "template"),
        ("/steps/1/odd", None),
        ("/steps/1", None),
        ("/steps/10/message", "elsewhere"),
    ],
)
def test_a_problem_stands_at_its_field(pointer: str, name: str | None) -> None:
    fields = fields_of(SEND, inputs_of(SEND))
    left = point_out(fields, [Problem(pointer=pointer, code="x", message="m")], below="/steps/1")
    assert [one.input.name for one in fields if one.problems] == (
        [name] if name and name != "elsewhere" else []
    )
    assert len(left) == (name is None)


@pytest.mark.parametrize(
    ("do", "order", "ids", "place"),
    [
        ("up.1", "", "bac", 0),
        ("down.0", "", "bac", 1),
        ("remove.2", "", "ab", 1),
        ("copy.0", "", ["a", "a-2", "b", "c"], 1),
        ("order", "2,0,1", "cab", 0),
        ("add.delay", "", ["a", "b", "c", None], 3),
    ],
)
def test_a_list_is_changed(do: str, order: str, ids: Any, place: int) -> None:
    before = [{"id": name, **SEND} for name in "abc"]
    after, at = changed(before, do, order=order)
    assert ([step.get("id") for step in after], at) == (list(ids), place)
    assert [step["id"] for step in before] == list("abc")


@pytest.mark.parametrize(
    ("do", "order"),
    [("up.0", ""), ("down.2", ""), ("remove.3", ""), ("copy.-1", ""), ("add.sing", ""), ("sing", ""), ("", ""),
     ("order", ""), ("order", "0,1"), ("order", "0,0,1"), ("order", "0,1,9"), ("up.²", ""), ("turn.1", "")],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(do: str, order: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        changed([SEND, SEND, SEND], do, order=order)


def test_a_step_is_told_in_a_word() -> None:
    told = [
        summary_of(step) for step in (SEND, {"action": "cancel", "filter": {"token": "t", "tags": []}}, 3, {})
    ]
    assert told == ["Hi", "token, tags", "", ""]


def test_an_input_knows_its_name() -> None:
    assert Input(path=("a", "b"), label="x").name == "a.b"
