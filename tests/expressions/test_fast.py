"""The fast path gives what the evaluator gives, or declines."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from automations.expressions import ExpressionError, Scope, compile_expression, pool, resolve_token
from automations.expressions.compile import FastTemplate
from automations.expressions.evaluation import Job, evaluate
from automations.expressions.fast import fast_text, fast_value
from automations.expressions.scope import JSON, MISSING
from automations.expressions.tokens import check_token

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
often = settings(max_examples=20_000 if NIGHTLY else 300, deadline=None, derandomize=not NIGHTLY)

keys = st.sampled_from(
    ["a", "b", "user_id", "$", "__proto__", "constructor", "toString", "length", "hasOwnProperty", "class"]
)
texts = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    [
        "",
        " ",
        "\ufeff",
        "\x00",
        "\ud800",
        "\u2028",
        "undefined",
        "xnullx",
        "[object Object]",
        "${data.a}",
        "`",
    ]
)
leaves = texts | st.integers() | st.integers(-(10**40), 10**40) | st.floats() | st.booleans() | st.none()
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=4
)
UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
paths = st.lists(keys, min_size=1, max_size=3).map(tuple)
static = st.text(st.characters(exclude_characters="`\\$\r", exclude_categories=["Cs"]), max_size=5)


@st.composite
def templates(draw: st.DrawFn) -> tuple[str, JSON]:
    """A template with one to three reads, and data in which most of them lead somewhere."""
    data: dict[str, JSON] = {}
    source = draw(static)
    for path in draw(st.lists(paths, min_size=1, max_size=3)):
        inner = data
        for key in path[:-1]:
            inner = inner.setdefault(key, {}) if isinstance(inner.get(key, {}), dict) else {}
        if draw(st.integers(0, 9)):
            inner[path[-1]] = draw(values if draw(st.integers(0, 3)) == 0 else texts | st.integers())
        source += f"${{data.{'.'.join(path)}}}{draw(static)}"
    return f"${{`{source}`}}", data


def scope(data: JSON) -> Scope:
    return Scope(data=data, profile={}, now=datetime(2026, 1, 1, tzinfo=UTC), seed="s")


def fast(source: str) -> FastTemplate:
    compiled = compile_expression(source)
    assert isinstance(compiled, FastTemplate)
    return compiled


def token(text: str) -> str:
    """The token, or the kind of the error."""
    try:
        return "value:" + check_token(text, longest=512)
    except ExpressionError as error:
        return error.kind


def evaluated(source: str, data: JSON, mode: Any) -> JSON:
    """What the evaluator gives for an expression, or the kind of the error."""
    try:
        [answer] = evaluate([Job(source[2:-1], mode, "s", source)], scope(data), owner="")
    except ExpressionError as error:
        return error.kind
    return token(answer.value) if mode == "token" else (type(answer.value), answer.value)


@often
@given(templates())
def test_a_template_resolves_alike_with_and_without_javascript(drawn: tuple[str, JSON]) -> None:
    source, data = drawn
    text = fast_text(fast(source), scope(data))
    event("declined" if text is None else "taken")
    if text is not None:
        assert token(text) == evaluated(source, data, "token")


@often
@given(paths, values | texts)
def test_a_field_resolves_alike_with_and_without_javascript(path: tuple[str, ...], value: JSON) -> None:
    data = value
    for key in reversed(path):
        data = {key: data}
    source = f"${{data.{'.'.join(path)}}}"
    taken = fast_value(fast(source), scope(data))
    event("declined" if taken is MISSING else "taken")
    if taken is not MISSING:
        storable = not (isinstance(taken, str) and UNSTORABLE.search(taken))
        assert evaluated(source, data, "field") == ((type(taken), taken) if storable else "invalid_text")


@pytest.mark.parametrize("value", [None, True, 1.0, [], "", " ", "x-null", {"b": 1}])
def test_it_declines_all_but_texts_and_integers(value: JSON) -> None:
    assert fast_text(fast("${`x-${data.a}`}"), scope({"a": value})) is None


def test_it_declines_a_text_that_an_evaluator_refuses() -> None:
    data = {"a": "x" * 50_000}
    assert fast_text(fast("${`${data.a}`}"), scope(data)) == data["a"]
    assert fast_text(fast("${`${data.a}${data.a}`}"), scope(data)) is None
    assert evaluated("${`${data.a}${data.a}`}", data, "field") == "too_long"


@pytest.mark.parametrize("data", [{}, [], None, "a"])
def test_it_declines_where_nothing_is_there(data: JSON) -> None:
    assert fast_text(fast("${`x-${data.a}`}"), scope(data)) is None


@pytest.mark.parametrize(
    ("source", "data", "text"),
    [
        ("${data.a.b}", {"a": {"b": "x"}}, "x"),
        ("${`${data.a}-${refs.data.b}`}", {"a": "x", "b": 2**70}, "x-1180591620717411303424"),
        ("${`\n$${data.length}{}`}", {"length": 5}, "\n$5{}"),
        ("${data.__proto__}", {"__proto__": "own"}, "own"),
    ],
)
def test_it_takes_the_documented_shapes(source: str, data: JSON, text: str) -> None:
    assert fast_text(fast(source), scope(data)) == text


def test_it_needs_no_evaluator(limits: Any) -> None:
    limits()
    assert resolve_token("${`x-${data.a}`}", scope({"a": "1"})) == "x-1"
    assert (pool.current().round_trips, pool.current().pids()) == (0, [])
