"""The conditions of Courier's journeys, as JavaScript and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automations import expressions
from automations.api.courier.conditions import from_javascript, to_javascript
from automations.expressions import Scope

pytestmark = pytest.mark.pure
DATA = {"plan": "pro", "paid": True, "count": 50, "tags": ["a", "b"], "none": None, "odd key": {"0": "x"}}
UNARY = ("exists", "does not exist")
NUMERIC = ("greater than", "greater than or equal", "less than", "less than or equal")
TEXTUAL = ("is equal", "is not equal", "contains", "does not contain", "starts with", "ends with")


def holds(conditions: Any) -> bool:
    scope = Scope(data=DATA, profile={"email": "a@b.c"}, now=datetime(2026, 11, 21, tzinfo=UTC), seed="s")
    return expressions.check_condition(to_javascript(conditions), scope)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (["data.plan", "is equal", "pro"], True),
        (["data.plan", "is equal", "Pro"], False),
        (["data.paid", "is equal", "true"], True),
        (["data.count", "is equal", "50"], True),
        (["data.missing.deep", "is equal", "undefined"], False),
        (["data.missing", "is not equal", "x"], True),
        (["data.plan", "is not equal", "pro"], False),
        (["data.tags", "contains", "b"], True),
        (["data.plan", "does not contain", "z"], True),
        (["data.plan", "does not contain", "r"], False),
        (["profile.email", "starts with", "a@"], True),
        (["profile.email", "ends with", ".c"], True),
        (["profile.email", "ends with", ".d"], False),
        (["data.count", "greater than", "49.5"], True),
        (["data.count", "greater than", "50"], False),
        (["data.count", "greater than or equal", "50"], True),
        (["data.count", "less than", "-1"], False),
        (["data.missing", "less than", "1"], False),
        (["data.none", "less than", "1"], False),
        (["data.count", "less than or equal", "50"], True),
        (["data.plan", "exists"], True),
        (["data.none", "exists"], False),
        (["data.a.b.c", "does not exist"], True),
        (["data.odd key.0", "is equal", "x"], True),
        ({"AND": [["data.plan", "exists"], ["data.count", "less than", "1"]]}, False),
        ({"OR": [["data.plan", "exists"], ["data.count", "less than", "1"]]}, True),
        (
            {"OR": [
                {"AND": [["data.plan", "is equal", "free"], ["data.paid", "exists"]]},
                {"AND": [["data.plan", "is equal", "pro"], ["data.paid", "exists"]]},
            ]},
            True,
        ),
    ],
)  # fmt: skip
def test_a_condition_holds_when_couriers_does_and_can_be_read_back(condition: Any, expected: bool) -> None:
    assert holds(condition) is expected
    assert from_javascript(to_javascript(condition)) == condition


paths = st.lists(st.text("ab.$_-\"'\\ü0 ()&|", min_size=1).map(lambda key: key.replace(".", "")), min_size=1).map(
    lambda keys: ".".join(["data", *[key or "x" for key in keys]])
)  # fmt: skip
texts = st.text("ab\"'\\()&| ?\n\u2028ü", max_size=8)
numbers = st.one_of(st.integers(-999, 999).map(str), st.just("0.5"))
atoms = st.one_of(
    st.tuples(paths, st.sampled_from(UNARY)),
    st.tuples(paths, st.sampled_from(TEXTUAL), texts),
    st.tuples(paths, st.sampled_from(NUMERIC), numbers),
).map(list)


def groups(members: Any) -> Any:
    """AND or OR of several; of a single one the two are the same, and AND is read back."""
    return st.tuples(st.sampled_from(["AND", "OR"]), st.lists(members, min_size=2, max_size=3)).map(
        lambda pair: {pair[0]: pair[1]}
    )


@given(st.one_of(atoms, groups(atoms), groups(groups(atoms))))
def test_every_condition_can_be_read_back(conditions: Any) -> None:
    assert from_javascript(to_javascript(conditions)) == conditions


@pytest.mark.parametrize("word", ["AND", "OR"])
def test_a_group_of_one_is_its_member(word: str) -> None:
    member = ["data.plan", "is equal", "pro"]
    assert holds({word: [member]})
    assert from_javascript(to_javascript({word: [member]})) == {"AND": [member]}


@pytest.mark.parametrize(
    "text",
    [
        "data.plan === 'pro'",
        'String(data?.plan ?? "") === "\\q"',
        "", "(", ")", "()", "() && ()", "(true) && (false)", "data?.a != null && 1", None,
        True, {"AND": []}, '(data?.a != null) && (data?.b != null) || (data?.c != null)', "(" * 900 + ")" * 900,
        'String(data?.["plan"] ?? "") === "pro"', '(data?.a != null) && ((data?.b != null))',
    ],
)  # fmt: skip
def test_other_javascript_is_left_as_it_is(text: Any) -> None:
    assert from_javascript(text) is None


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (None, "an object with either “AND” or “OR”"),
        ("data.x", "an object with either “AND” or “OR”"),
        ({}, "an object with either “AND” or “OR”"),
        ({"AND": [], "OR": []}, "an object with either “AND” or “OR”"),
        ({"XOR": [["data.a", "exists"]]}, "an object with either “AND” or “OR”"),
        ({"AND": []}, "“AND” needs a list of conditions"),
        ({"AND": "x"}, "“AND” needs a list of conditions"),
        ({"AND": [["data.a", "exists"], {"OR": []}]}, "“AND” takes either conditions or groups of them"),
        ({"AND": [{"OR": [{"AND": [["data.a", "exists"]]}]}]}, "two or three texts"),
        ([["data.a", "exists"]], "two or three texts"),
        (["data.a"], "two or three texts"),
        (["data.a", "is equal", 5], "two or three texts"),
        (["data.a", "equals", "b"], "the operator “equals” is not known"),
        (["data.a", "is equal"], "“is equal” takes one value"),
        (["data.a", "exists", "b"], "“exists” takes no value"),
        (["data.a", "is equal", "b", "c"], "“is equal” takes one value"),
        (["data.a", "less than", "ten"], "compares numbers, and 'ten' is none"),
        (["data.a", "less than", "1e3"], "compares numbers"),
        (["user.plan", "exists"], "a path begins with “data.” or “profile.”"),
        (["data", "exists"], "is not a path"),
        (["data..x", "exists"], "is not a path"),
    ],
)
def test_what_is_no_condition_is_refused(conditions: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        to_javascript(conditions)
