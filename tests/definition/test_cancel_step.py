"""A cancel step as it is written: its fields, and what is wrong with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations.definition import DefinitionError, parse
from automations.definition.shape import Cancel

UUID = "0193f1c2-0000-7000-8000-000000000001"


def step(**fields: Any) -> Cancel:
    (parsed,) = parse({"steps": [{"action": "cancel", **fields}]}).steps
    assert isinstance(parsed, Cancel)
    return parsed


def problems(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(DefinitionError) as refused:
        step(**fields)
    return [(problem.pointer.removeprefix("/steps/0"), problem.code) for problem in refused.value.problems]


def test_all_of_it_is_read() -> None:
    scope: dict[str, Any] = {
        "token": "{{data.t}}", "key": "k", "automation": "trial", "source": "shop", "recipients": ["refs.data.r", "b"],
        "tags": ["vip"], "created_after": "2026-11-20T14:00:00Z",
    }  # fmt: skip
    assert step(
        filter=scope, include_self=True, reason="for {{data.who}}", hold_for="PT2H", undo_for="30 seconds"
    ) == Cancel(
        position="0", include_self=True, reason="for {{data.who}}", hold_for=timedelta(hours=2),
        undo_for=timedelta(seconds=30), filter={**scope, "recipients": ("refs.data.r", "b"), "tags": ("vip",)},
    )  # fmt: skip
    assert step(run_id="refs.data.run").run_id == "refs.data.run"
    assert step(run_id=UUID).run_id == UUID
    assert step(cancelation_token="t", undo_for="10 minutes").undo_for == timedelta(minutes=10)
    assert (
        step(filter={"invocation": "{{data.i}}", "due_before": "refs.data.at", "run_ids": [UUID]}).hold_for
        is None
    )


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, [("/cancellation_token", "required")]),
        ({"cancellation_token": "t", "filter": {"key": "k"}}, [("/filter", "ambiguous")]),
        ({"cancelation_token": "t", "run_id": UUID}, [("/run_id", "ambiguous")]),
        ({"run_id": UUID, "filter": {"key": "k"}}, [("/filter", "ambiguous")]),
        ({"run_id": "x"}, [("/run_id", "invalid")]),
        ({"run_id": 5}, [("/run_id", "invalid")]),
        ({"filter": []}, [("/filter", "invalid")]),
        ({"filter": {}}, [("/filter", "empty_filter")]),
        ({"filter": {"token": None}}, [("/filter", "empty_filter")]),
        ({"filter": {"all": True, "confirm": "production"}},
         [("/filter/all", "unknown_field"), ("/filter/confirm", "unknown_field")]),
        ({"filter": {"tokn": "t"}}, [("/filter/tokn", "unknown_field")]),
        ({"filter": {"token": ""}}, [("/filter/token", "invalid")]),
        ({"filter": {"token": "a\n"}}, [("/filter/token", "invalid")]),
        ({"filter": {"key": "k" * 256}}, [("/filter/key", "invalid")]),
        ({"filter": {"key": "{{data." + "k" * 2000 + "}}"}}, [("/filter/key", "too_long")]),
        ({"filter": {"recipients": "r"}}, [("/filter/recipients", "invalid")]),
        ({"filter": {"recipients": []}}, [("/filter/recipients", "empty_list")]),
        ({"filter": {"recipients": ["r"] * 1001}}, [("/filter/recipients", "too_many")]),
        ({"filter": {"recipients": ["{{data.r}}"] * 21}}, [("/filter/recipients", "too_many")]),
        ({"filter": {"tags": ["a", None, 5]}}, [("/filter/tags/1", "invalid"), ("/filter/tags/2", "invalid")]),
        ({"filter": {"tags": ["a"] * 21}}, [("/filter/tags", "too_many")]),
        ({"filter": {"run_ids": ["{{data.r}}", "x"]}}, [("/filter/run_ids/1", "invalid")]),
        ({"filter": {"invocation": "x"}}, [("/filter/invocation", "invalid")]),
        ({"filter": {"due_before": "soon"}}, [("/filter/due_before", "invalid")]),
        ({"cancellation_token": "t", "reason": "r" * 501}, [("/reason", "too_long")]),
        ({"cancellation_token": "t", "reason": "{{data." + "r" * 2000 + "}}"}, [("/reason", "too_long")]),
        ({"cancellation_token": "t", "hold_for": "25 hours"}, [("/hold_for", "invalid_duration")]),
        ({"cancellation_token": "t", "hold_for": 5}, [("/hold_for", "invalid")]),
        ({"cancellation_token": "t", "undo_for": "11 minutes"}, [("/undo_for", "invalid_duration")]),
        ({"cancellation_token": "t", "undo_for": "0 s"}, [("/undo_for", "invalid_duration")]),
        ({"run_id": UUID, "hold_for": "1 hour"}, [("/hold_for", "cannot_hold")]),
        ({"filter": {"token": "t", "due_before": "refs.data.at"}, "hold_for": "1 hour"},
         [("/filter/due_before", "cannot_hold")]),
        ({"cancellation_token": "t", "include_self": "yes"}, [("/include_self", "invalid")]),
        ({"cancellation_token": "t", "token": "t"}, [("/token", "unknown_field")]),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_pointer(fields: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert problems(**fields) == found


def test_an_entry_of_a_list_is_called_by_the_list_s_name() -> None:
    scope = {"tags": ["0", "", None], "run_ids": ["x"]}
    with pytest.raises(DefinitionError) as refused:
        parse({"steps": [{"action": "cancel", "filter": scope}]})
    said = [problem.message for problem in refused.value.problems]
    assert said[0].startswith("“run_ids[0]”: ")
    assert said[1:] == ["an entry must be a non-empty text", "“tags[1]” must be a non-empty text"]


@pytest.mark.parametrize("scope", [{"tokn": "t"}, {"token": "t", "recipient": "r"}, {"all": True}])
def test_a_lenient_reader_ignores_nothing_of_a_filter(scope: dict[str, Any]) -> None:
    """What it does not know would have narrowed it."""
    with pytest.raises(DefinitionError) as refused:
        parse({"steps": [{"action": "cancel", "filter": scope}]}, strict=False)
    assert [problem.code for problem in refused.value.problems] == ["unknown_field"]
