"""An expression that keeps timing out is not tried for a while, and nobody else notices."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from automations.expressions import ExpressionError, Scope, breaker, check_condition, pool, resolve_token
from automations.expressions.breaker import Breaker

ENDLESS = "${(() => { for (;;); })()}"
SCOPE = Scope(data={}, profile={}, now=datetime(2026, 1, 1, tzinfo=UTC), seed="s")
KEY = ("owner", "source")


def fails(source: str = ENDLESS, owner: str = "") -> tuple[str, str]:
    with pytest.raises(ExpressionError) as caught:
        resolve_token(source, SCOPE, owner=owner)
    assert caught.value.retryable is False
    return caught.value.kind, caught.value.message


def test_after_three_timeouts_in_a_row_it_fails_at_once(limits: Callable[..., None]) -> None:
    limits(time_ms=20)
    assert [fails() for _ in range(3)] == [("timeout", "took longer than its CPU limit")] * 3
    before, started = pool.current().round_trips, time.monotonic()
    assert [fails() for _ in range(100)] == [("timeout", "token expression keeps timing out")] * 100
    assert pool.current().round_trips == before
    assert time.monotonic() - started < 2


def test_other_owners_and_other_expressions_go_on(limits: Callable[..., None]) -> None:
    limits(time_ms=20)
    for _ in range(3):
        fails(owner="a")
    assert fails(owner="a") == ("timeout", "token expression keeps timing out")
    assert fails(owner="b") == ("timeout", "took longer than its CPU limit")
    assert resolve_token("${'x'.trim()}", SCOPE, owner="a") == "x"


def test_an_expression_killed_by_the_kernel_counts_too(limits: Callable[..., None]) -> None:
    limits(time_ms=20)
    native = "${new Array(2 ** 32 - 1).join(',')}"
    messages = [fails(native)[1] for _ in range(4)]
    assert messages == ["took longer than its CPU limit"] * 3 + ["token expression keeps timing out"]


def test_conditions_are_covered_and_the_message_says_what_they_are(limits: Callable[..., None]) -> None:
    limits(time_ms=20)
    messages = []
    for _ in range(4):
        with pytest.raises(ExpressionError) as caught:
            check_condition("while (1);", SCOPE)
        messages.append(caught.value.message)
    assert messages == ["took longer than its CPU limit"] * 3 + ["expression keeps timing out"]


def test_a_success_in_between_starts_the_count_anew() -> None:
    watched = Breaker()
    for _ in range(2):
        watched.timed_out(KEY)
    watched.ended(KEY)
    watched.timed_out(KEY)
    assert watched.refuses(KEY) is False


def test_open_it_refuses_and_after_a_while_lets_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Breaker()
    for _ in range(3):
        watched.timed_out(KEY)
    assert [watched.refuses(KEY), watched.refuses(("other", "source"))] == [True, False]
    later = time.monotonic() + breaker.OPEN_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert [watched.refuses(KEY) for _ in range(3)] == [False, True, True]
    watched.ended(KEY)
    assert watched.refuses(KEY) is False


def test_it_remembers_a_limited_number() -> None:
    watched = Breaker()
    for number in range(2000):
        for _ in range(3):
            watched.timed_out(("", str(number)))
    refused = [number for number in range(2000) if watched.refuses(("", str(number)))]
    assert refused == list(range(976, 2000))
