"""`cancel_on` and `concurrency` are read, or refused with a pointer to everything that is wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations.definition import CancelRule, Concurrency, DefinitionError, parse

STEPS = [{"action": "delay", "duration": "1 hour"}]


def problems(**settings: Any) -> list[tuple[str, str]]:
    with pytest.raises(DefinitionError) as refused:
        parse({"steps": STEPS, **settings})
    return [(problem.pointer, problem.code) for problem in refused.value.problems]


def test_rules_are_read_and_kept_as_they_were_written() -> None:
    raw = {
        "steps": STEPS,
        "cancel_on": [
            {"event": "order.paid"},
            {"event": "order.paid", "if": True, "match": "data.order.id", "within": "2 days", "reason": "paid"},
        ],
        "concurrency": {"key": "refs.data.cart", "policy": "cancel_previous"},
    }  # fmt: skip
    definition = parse(raw)
    assert definition.cancel_on == (
        CancelRule(event="order.paid"),
        CancelRule(
            event="order.paid", condition="true", match=("order", "id"), within=timedelta(days=2), reason="paid"
        ),
    )  # fmt: skip
    assert definition.concurrency == Concurrency(key="refs.data.cart", policy="cancel_previous")
    assert definition.source == raw
    assert parse(definition.source, strict=False) == definition


def test_without_them_nothing_ends_a_run_from_outside() -> None:
    definition = parse({"steps": STEPS, "cancel_on": None, "concurrency": None})
    assert (definition.cancel_on, definition.concurrency) == ((), None)
    assert parse({"steps": STEPS, "cancel_on": []}).cancel_on == ()


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ({}, [("/cancel_on", "invalid")]),
        ("order.paid", [("/cancel_on", "invalid")]),
        ([{"event": "e"}] * 21, [("/cancel_on", "too_many")]),
        (["order.paid"], [("/cancel_on/0", "invalid")]),
        ([{"event": "e"}, {}], [("/cancel_on/1/event", "required")]),
        ([{"event": 5}], [("/cancel_on/0/event", "invalid")]),
        ([{"event": "x" * 101}], [("/cancel_on/0/event", "too_long")]),
        ([{"event": "a\nb"}], [("/cancel_on/0/event", "invalid")]),
        ([{"event": "e", "if": "x" * 2001}], [("/cancel_on/0/if", "too_long")]),
        ([{"event": "e", "match": "order_id"}], [("/cancel_on/0/match", "invalid")]),
        ([{"event": "e", "match": "data."}], [("/cancel_on/0/match", "invalid")]),
        ([{"event": "e", "match": "data.a b"}], [("/cancel_on/0/match", "invalid")]),
        ([{"event": "e", "within": "soon"}], [("/cancel_on/0/within", "invalid_duration")]),
        ([{"event": "e", "within": "0 seconds"}], [("/cancel_on/0/within", "invalid_duration")]),
        ([{"event": "e", "reason": "x" * 501}], [("/cancel_on/0/reason", "too_long")]),
        ([{"event": "e", "when": "x"}], [("/cancel_on/0/when", "unknown_field")]),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rules: Any, found: list[tuple[str, str]]) -> None:
    assert problems(cancel_on=rules) == found


def test_twenty_rules_are_allowed() -> None:
    assert len(parse({"steps": STEPS, "cancel_on": [{"event": "e"}] * 20}).cancel_on) == 20


@pytest.mark.parametrize(
    ("concurrency", "found"),
    [
        ("key", [("/concurrency", "invalid")]),
        ({}, [("/concurrency/key", "required"), ("/concurrency/policy", "required")]),
        ({"key": "", "policy": "allow"}, [("/concurrency/key", "invalid")]),
        ({"key": "k", "policy": "queue"}, [("/concurrency/policy", "invalid")]),
        ({"key": "k", "policy": "allow", "limit": 2}, [("/concurrency/limit", "unknown_field")]),
    ],
)
def test_a_concurrency_that_cannot_be_meant_is_refused(
    concurrency: Any, found: list[tuple[str, str]]
) -> None:
    assert problems(concurrency=concurrency) == found
