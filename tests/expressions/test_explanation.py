"""What the person who writes an expression is told about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from automations.expressions import Explanation, Scope, explain, misread, resolve_token


def told(source: str, data: Any = None, **options: Any) -> Explanation:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return explain(source, Scope(data=data or {}, profile={}, now=now, seed="s"), **options)


@pytest.mark.parametrize(
    ("source", "form", "reads"),
    [
        ("refs.data.user_id", "refs", ("data.user_id",)),
        ("${data.user_id}", "javascript", ("data.user_id",)),
        ("${`${data.flow}-${data.user_id}`}", "javascript", ("data.flow", "data.user_id")),
        ("${refs.data.user_id.toUpperCase()}", "javascript", ("data.user_id",)),
        ("${Object.keys(data)[0] + data.flow}", "javascript", ("data", "data.flow")),
        (
            "${data.items.map(i => i.id)[0]}",
            "javascript",
            ("data.items", "data.items.0.id", "data.items.1.id"),
        ),
        ("{{data.flow}}/{{data.user_id}}", "text", ("data.flow", "data.user_id")),
    ],
)
def test_a_good_expression_has_a_value_and_no_remarks(source: str, form: str, reads: Any) -> None:
    data = {"user_id": "u", "flow": "f", "items": [{"id": 1}, {"id": 2}]}
    told_ = told(source, data)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert told_.value == resolve_token(source, Scope(data=data, profile={}, now=now, seed="s"))
    assert (told_.form, told_.error, told_.reads, told_.misses) == (form, None, reads, ())
    assert (told_.constant, told_.warnings) == (False, ())
    assert 0 < told_.ms < 5000


def remarks(source: str, data: Any = None) -> list[tuple[str, str | None]]:
    return [(advice.code, advice.suggestion) for advice in told(source, data).warnings]


@pytest.mark.parametrize(
    ("source", "data", "expected"),
    [
        ("plain", {}, [("constant", None)]),
        ("${'x'}", {"a": 1}, [("constant", None)]),
        ("${Date.now()}", {"a": 1}, []),
        ("${Math.random()}", {"a": 1}, []),
        ("${data.a ?? Math.random()}", {"a": "x"}, []),
        ("${data.", {"a": 1}, [("looks_like_javascript", None), ("constant", None)]),
        (
            "onboarding-refs.data.user_id",
            {},
            [("looks_like_refs", "${`onboarding-${data.user_id}`}"), ("constant", None)],
        ),
        (
            "refs.profile.id`-refs.outreach.status\\",
            {},
            [("unresolved", None)],
        ),
        (
            "a`\\refs.profile.id-refs.outreach.status",
            {},
            [("looks_like_refs", "${`a\\`\\\\${profile.id}-${refs.outreach.status}`}"), ("constant", None)],
        ),
        (
            "onboarding-${data.user_id}",
            {},
            [("looks_like_javascript", "${`onboarding-${data.user_id}`}"), ("constant", None)],
        ),
        (
            "${data.a}-${data.b}",
            {},
            [("syntax", None), ("looks_like_javascript", "${`${data.a}-${data.b}`}")],
        ),
        (
            'refs.data["user id"]',
            {},
            [("unresolved", None), ("looks_like_javascript", '${refs.data["user id"]}')],
        ),
        ("refs.data.user_id", {}, [("unresolved", None)]),
        ("${`x-${data.a}`}", {}, [("unresolved", None)]),
        ("${`x-${data.a}`}", {"a": ""}, [("unresolved", None)]),
        ("${data.a ?? 'none'}", {"a": "x"}, [("same_without_data", None)]),
        ("${`x-${data.a}`}", {"a": "undefined"}, [("suspicious_text", None)]),
        ("${data.a}", {"a": True}, [("unsupported_type", None)]),
        ("undefined", {}, [("unresolved", None)]),
    ],
)
def test_remarks(source: str, data: Any, expected: list[tuple[str, str | None]]) -> None:
    assert remarks(source, data) == expected


@pytest.mark.parametrize(
    ("source", "token"),
    [
        ("onboarding-refs.data.user_id", "onboarding-u"),
        ("onboarding-${data.user_id}", "onboarding-u"),
        ("${data.user_id}-${data.n}", "u-1"),
        ('refs.data["user_id"]', "u"),
    ],
)
def test_a_suggestion_gives_what_was_meant(source: str, token: str) -> None:
    [suggestion] = [text for _, text in remarks(source) if text]
    assert told(suggestion, {"user_id": "u", "n": 1}).value == token


def test_what_is_missing_is_named() -> None:
    told_ = told("${`x-${data.a}-${data.b ?? 'c'}`}", {"b": None})
    assert told_.error is not None
    assert (told_.error.kind, told_.error.paths) == ("unresolved", ("data.a", "data.b"))
    assert (told_.value, told_.reads, told_.misses) == (None, ("data.a", "data.b"), ("data.a", "data.b"))


def test_an_endless_expression_is_run_once() -> None:
    told_ = told("${while (1);}")
    assert told_.error is not None
    assert (told_.error.kind, told_.reads, [advice.code for advice in told_.warnings]) == (
        "timeout",
        (),
        ["timeout"],
    )


def test_fields_and_conditions_are_explained_too() -> None:
    field = told("${data.list}", {"list": [1]}, purpose="field")
    assert (field.value, field.reads, field.warnings) == ([1], ("data.list",), ())
    condition = told("data.n > 1", {"n": 2}, purpose="condition")
    assert (condition.form, condition.value, condition.reads) == ("javascript", True, ("data.n",))
    whole = told("${[data.a, data.b.c]}", {"a": {"d": 1}, "b": {"c": {}}}, purpose="field")
    assert whole.reads == ("data.a", "data.b.c")
    literal = told("Hello", purpose="field")
    assert (literal.value, literal.constant, literal.warnings) == ("Hello", True, ())


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("Hello ${data.name}!", ("looks_like_javascript", "${`Hello ${data.name}!`}")),
        ("Hello refs.data.name", ("looks_like_refs", "${`Hello ${data.name}`}")),
        ("Hello ${data.", ("looks_like_javascript", None)),
        ("Hello {{data.name}}", None),
        ("${data.name}", None),
        ("refs.data.name", None),
        ("It costs $5", None),
    ],
)
def test_a_text_that_is_no_expression_and_looks_like_one_is_said(
    text: str, advice: tuple[str, str | None] | None
) -> None:
    said = misread(text)
    assert (said and (said.code, said.suggestion)) == advice
