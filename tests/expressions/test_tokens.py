"""The table from what an expression gives to what becomes of it as a token, row by row."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automations.expressions import ExpressionError, Scope, resolve_field, resolve_token
from automations.expressions.errors import Kind
from automations.expressions.tokens import number_text

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def scope(data: Any = None, **refs: Any) -> Scope:
    return Scope(data=data or {}, profile={}, now=NOW, seed="s", refs=refs)


def failure(source: str, data: Any = None) -> tuple[Kind, tuple[str, ...]]:
    with pytest.raises(ExpressionError) as caught:
        resolve_token(source, scope(data))
    assert caught.value.source == source
    return caught.value.kind, caught.value.paths


@pytest.mark.parametrize("form", ["refs.data.v", "${data.v}", "${(data.v)}", "{{data.v}}"])
@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("user_1", "user_1"),
        (" User\u00a0É ", " User\u00a0É "),
        ("e\u0301", "e\u0301"),
        ("a\u2028b", "a\u2028b"),
        ("x" * 512, "x" * 512),
        ("😀" * 512, "😀" * 512),
        ("nullable", "nullable"),
        ("no undefined", "no undefined"),
        (0, "0"),
        (1.0, "1"),
        (-0.0, "0"),
        (-1.5, "-1.5"),
        (1e21, "1e+21"),
        (1e-7, "1e-7"),
        (2**53 + 1, "9007199254740993"),
        (-(2**53) - 1, "-9007199254740993"),
        (10**30, "1" + "0" * 30),
    ],
)
def test_text_and_finite_numbers_are_taken_as_they_are(form: str, value: Any, token: str) -> None:
    assert resolve_token(form, scope({"v": value})) == token


@pytest.mark.parametrize("form", ["refs.data.v", "${data.v}", "${(data.v)}", "{{data.v}}"])
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({}, "unresolved"),
        ({"v": None}, "unresolved"),
        ({"v": ""}, "unresolved"),
        ({"v": " \t\u00a0\ufeff"}, "unresolved"),
        ({"v": "undefined"}, "unresolved"),
        ({"v": " NULL "}, "unresolved"),
        ({"v": "nan"}, "unresolved"),
        ({"v": "-Infinity"}, "unresolved"),
        ({"v": "[object Object]"}, "unresolved"),
        ({"v": True}, "unsupported_type"),
        ({"v": False}, "unsupported_type"),
        ({"v": {}}, "unsupported_type"),
        ({"v": ["a"]}, "unsupported_type"),
        ({"v": "x" * 513}, "too_long"),
        ({"v": 10**512}, "too_long"),
        ({"v": "a\x00b"}, "invalid_text"),
        ({"v": "a\nb"}, "invalid_text"),
        ({"v": "a\x85b"}, "invalid_text"),
        ({"v": "a\ud800"}, "invalid_text"),
    ],
)
def test_what_identifies_nobody_or_cannot_be_stored_is_refused(form: str, data: Any, kind: str) -> None:
    assert failure(form, data)[0] == kind


@pytest.mark.parametrize(
    ("javascript", "said"),
    [("({})", "an object"), ("new Date()", "an object"), ("[1]", "a list"), ("() => 1", "a function"),
     ("Symbol('a')", "a symbol"), ("true", "true")],
)  # fmt: skip
def test_what_no_token_can_be_is_called_by_its_name(javascript: str, said: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        resolve_token(f"${{{javascript}}}", scope({}))
    assert (refused.value.kind, refused.value.message) == ("unsupported_type", f"the result is {said}")


def test_a_list_that_throws_when_looked_at_is_refused_too() -> None:
    revoked = "(() => { const it = Proxy.revocable([], {}); it.revoke(); return it.proxy })()"
    assert failure(f"${{{revoked}}}", {})[0] in ("runtime", "unsupported_type")


@pytest.mark.parametrize(
    ("javascript", "kind"),
    [
        ("undefined", "unresolved"),
        ("NaN", "unresolved"),
        ("-1/0", "unresolved"),
        ("'[object Object]'", "unresolved"),
        ("Symbol('a')", "unsupported_type"),
        ("() => 1", "unsupported_type"),
        ("new Date()", "unsupported_type"),
        ("/a/", "unsupported_type"),
        ("new String('a')", "unsupported_type"),
        ("Promise.resolve('a')", "unsupported_type"),
        ("'a'.repeat(513)", "too_long"),
        ("'a'.repeat(1e6)", "too_long"),
        ("10n ** 600n", "too_long"),
        ("10n ** 20000n", "too_long"),
        ("'\\x07'", "invalid_text"),
        ("'\\udc00'", "invalid_text"),
        ("null.a", "runtime"),
        ("nope", "runtime"),
        ("throw 'a'", "runtime"),
        ("throw {get message() { throw 1 }}", "runtime"),
        ("throw {toString() { throw 1 }}", "runtime"),
        ("JSON.parse('{')", "runtime"),
        ("a b", "syntax"),
        ("'a", "syntax"),
        ("while (true);", "timeout"),
        ("new Array(2 ** 32 - 1).join(',')", "timeout"),
        ("'a'.repeat(2 ** 29)", "memory"),
        ("(function f() { f() })()", "stack"),
    ],
)
def test_what_javascript_gives_that_is_no_token(javascript: str, kind: str) -> None:
    assert failure(f"${{{javascript}}}")[0] == kind


@pytest.mark.parametrize(
    ("source", "data", "paths"),
    [
        ("${data.a}", {}, ("data.a",)),
        ("refs.data.a.b", {"a": {}}, ("data.a.b",)),
        ("x-{{data.a.b}}", {"a": {}}, ("data.a.b",)),
        ("x-{{data.a}}", {"a": {}}, ("data.a",)),
        ("${`x-${data.a}`}", {}, ("data.a",)),
        ("${`x_${data.a}`}", {"a": None}, ("data.a",)),
        ("${`x${data.a}`}", {}, ("data.a",)),
        ("${`x${data.a}${data.b}y`}", {"a": None}, ("data.a", "data.b")),
        ("${'x-' + data['user-id']}", {}, ("data.user-id",)),
        ("${'x-' + refs.profile.a}", {}, ("profile.a",)),
        ("${'x-' + refs.recipient}", {}, ("refs.recipient",)),
        ("${`t-${data.n + 1}`}", {}, ("data.n",)),
        ("${`t-${data.n / data.z}`}", {"n": 1, "z": 0}, ("data.n", "data.z")),
        ("${`user${data.n * 2}`}", {}, ("data.n",)),
        ("${`t-${parseInt(data.s)}`}", {"s": "abc"}, ("data.s",)),
        ("${`t-${data.items[3]}`}", {"items": [1]}, ("data.items.3",)),
        ("${`t-${data.items.at(-1)}`}", {"items": []}, ("data.items",)),
        ("${`t-${data.items.find(i => i > 1)}`}", {"items": [1]}, ("data.items", "data.items.0")),
        ("${`t-${data.o}`}", {"o": {"a": 1}}, ("data.o",)),
        ("${`t-${data.o}`}", {"o": [{}]}, ("data.o.0",)),
        ("${`t-${data.toString}`}", {}, ("data.toString",)),
        ("${JSON.stringify(data)}", {"a": None}, ("data.a",)),
        ("${`onboarding-${data.a}`.toUpperCase()}", {}, ("data.a",)),
        ("${`onboarding-${data.a}`.toUpperCase()}", {"a": None}, ("data.a",)),
        ("${`user${data.a}`.toUpperCase()}", {}, ("data.a",)),
        ("${`${data.company}-${data.a}`.toUpperCase()}", {"company": "Null Ltd."}, ("data.a",)),
        ("${`u-${data.n * 1}`.toLowerCase()}", {}, ("data.n",)),
        ("${`${data.bank}-${data.n * 1}`.toLowerCase()}", {"bank": "Finance"}, ("data.n",)),
        ("${`t-${parseInt(data.s)}`.toLowerCase()}", {"s": "abc"}, ("data.s",)),
        ("${`t-${{}[data.kind]}`.toUpperCase()}", {"kind": "x"}, ("data.kind",)),
    ],
)
def test_a_missing_value_inside_a_token_is_refused_and_named(
    source: str, data: Any, paths: tuple[str, ...]
) -> None:
    assert failure(source, data) == ("unresolved", paths)


@pytest.mark.parametrize(
    ("source", "data", "paths"),
    [
        ("${`onboarding-${data.a}`}", {"a": ""}, ("data.a",)),
        ("${`onboarding-${data.a}`}", {"a": " \u00a0"}, ("data.a",)),
        ("${'onboarding-' + data.a}", {"a": ""}, ("data.a",)),
        ("${['onboarding', data.a.trim().toLowerCase()].join('-')}", {"a": ""}, ("data.a",)),
        ("${`${data.a}-${data.b}`}", {"a": "", "b": " "}, ("data.a", "data.b")),
        ("${`annulled-${data.x ?? 'y'}-${data.a}`}", {"a": ""}, ("data.a",)),
        ("${`${data.on ? 'on' : 'off'}-${data.a}`}", {"on": False, "a": ""}, ("data.a",)),
        ("${`user-${data.a}`}", {"a": []}, ("data.a",)),
        ("${`user-${data.a}`}", {"a": [None]}, ("data.a", "data.a.0")),
        ("${`user-${data.a}`}", {"a": [[]]}, ("data.a", "data.a.0")),
        ("${`user-${data.a}`}", {"a": [["", []]]}, ("data.a.0.0", "data.a.0.1")),
        ("${`user-${data.a}`}", {"a": [None, None]}, ("data.a.0", "data.a.1")),
        ("${'user-' + data.a.join('+')}", {"a": []}, ("data.a",)),
        ("${'user-' + data.a.toString()}", {"a": []}, ("data.a",)),
        ("${['user', data.a].join('-')}", {}, ("data.a",)),
        ("${['user', data.a, data.b].join()}", {"a": None, "b": ""}, ("data.b", "data.a")),
        ("onboarding-{{data.a}}", {"a": ""}, ("data.a",)),
        ("{{data.a}}-{{data.b}}", {"a": "", "b": "\ufeff"}, ("data.a", "data.b")),
    ],
)
def test_blank_values_leave_the_static_text_which_everybody_would_share(
    source: str, data: Any, paths: tuple[str, ...]
) -> None:
    assert failure(source, data) == ("unresolved", paths)


@pytest.mark.parametrize(
    ("source", "data", "token"),
    [
        ("${data.a ?? 'none'}", {}, "none"),
        ("${`x-${data.a ?? 'none'}`}", {}, "x-none"),
        ("${data.a || 'all'}", {"a": ""}, "all"),
        ("${`${data.a}-${data.b}`}", {"a": "x", "b": ""}, "x-"),
        ("{{data.a}}-{{data.b}}", {"a": "x", "b": ""}, "x-"),
        ("x-{{data.a}}", {"a": True}, "x-true"),
        ("${`x-${data.a}`}", {"a": True}, "x-true"),
        ("${`x-${data.a}`}", {"a": "undefined"}, "x-undefined"),
        ("${`x-${data.a}`}", {"a": "[object Object]"}, "x-[object Object]"),
        ("x-{{data.a}}", {"a": "null"}, "x-null"),
        ("${`annulled-${data.a ?? 'y'}`}", {}, "annulled-y"),
        ("${`${data.company}-${data.plan ?? 'free'}`}", {"company": "Annullo"}, "Annullo-free"),
        ("${data.company.toLowerCase()}", {"company": "Nullsoft"}, "nullsoft"),
        ("${data.hasOwnProperty('a') ? `x-${data.a}` : 'y'}", {"a": 1}, "x-1"),
        ("${'t-' + typeof ''.at2}", {}, "t-undefined"),
        ("${data.a.trim()}", {"a": "undefined-behaviour-u1"}, "undefined-behaviour-u1"),
        ("${data.a.toUpperCase()}", {"a": "undefined-behaviour-u1"}, "UNDEFINED-BEHAVIOUR-U1"),
        ("${`${data.company}-${data.plan ?? 'free'}`}", {"company": "Null Ltd."}, "Null Ltd.-free"),
        ("${`${data.city}-${data.plan ?? 'free'}`}", {"city": "Nan"}, "Nan-free"),
        ("${`x-${data.a ?? 'NULL'}`}", {}, "x-NULL"),
        ("${data.a ?? 'Null Island'}", {}, "Null Island"),
        ("${data.plan === 'pro' ? data.id : 'group-Nan'}", {"plan": "free"}, "group-Nan"),
        ("${data.first + data.last}", {"first": "Ana", "last": "Nolan"}, "AnaNolan"),
        ("${`a-Nu${data.a}`}", {"a": "LL"}, "a-NuLL"),
        ("${(`a-Nu${data.a}`)}", {"a": "LL"}, "a-NuLL"),
        ("${`x-${data.tags.length}`}", {"tags": []}, "x-0"),
        ("${data.tags.includes('vip') ? 'vip' : 'other'}", {"tags": []}, "other"),
        ("${data.tags.join('+') || 'none'}", {"tags": []}, "none"),
        ("${`${data.a}-${data.tags}`}", {"a": "x", "tags": []}, "x-"),
        ("${['user', data.a].join('-')}", {"a": "x"}, "user-x"),
        ("${['user', data.a, data.b].join('-')}", {"a": "x"}, "user-x-"),
        ("${['user', data.a ?? 'none'].join('-')}", {}, "user-none"),
        ("${[data.a].join() || 'none'}", {}, "none"),
    ],
)
def test_a_guard_and_data_that_really_say_so_are_respected(source: str, data: Any, token: str) -> None:
    assert resolve_token(source, scope(data)) == token


def test_an_expression_of_more_than_2000_characters_is_refused() -> None:
    fitting = "${'" + "a" * 1 + "'" + " " * 1994 + "}"
    assert (len(fitting), resolve_token(fitting, scope())) == (2000, "a")
    assert failure(f"{fitting[:-1]} }}") == ("too_long", ())
    assert failure("${`" + "x" * 2000 + "${data.a}`}", {"a": 1}) == ("too_long", ())


def test_data_that_are_no_json_are_refused() -> None:
    assert failure("${data.a + 1}", {"a": float("nan")}) == ("unsupported_type", ())
    assert failure("${data.a + 1}", {"a": NOW}) == ("unsupported_type", ())
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert failure("${data.a + 1}", {"a": nested}) == ("unsupported_type", ())
    assert failure("${data.a + 1}", {"a": "é" * 1_000_000}) == ("memory", ())


def test_the_length_of_a_token_is_a_limit_of_the_process(limits: Any) -> None:
    limits(max_token=5)
    assert resolve_token("12345", scope()) == "12345"
    assert failure("123456") == ("too_long", ())


def test_what_stands_beside_data_is_readable_in_every_form() -> None:
    beside = scope(None, recipient={"id": "u1"}, outreach={"status": "SENT"})
    assert resolve_token("refs.recipient.id", beside) == "u1"
    assert resolve_token("{{refs.recipient.id}}", beside) == "u1"
    assert resolve_token("${refs.recipient.id}", beside) == "u1"
    assert resolve_token("${refs.outreach.status}", beside) == "SENT"


@pytest.mark.parametrize("path", ["__proto__", "constructor", "a.length", "a.2", "a.-1", "a.01", "a.٠"])
def test_an_accessor_reads_own_keys_and_indexes_in_range_only(path: str) -> None:
    assert failure(f"refs.data.{path}", {"a": ["x", "y"]})[0] == "unresolved"


def test_an_accessor_reads_own_keys_whatever_their_name() -> None:
    assert resolve_token("refs.data.__proto__.0.a b", scope({"__proto__": [{"a b": "x"}]})) == "x"


def is_power_of_two(number: float) -> bool:
    """Of those the engine writes some with one digit too many; ECMA-262 and other engines do not."""
    return abs(math.frexp(number)[0]) == 0.5


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not is_power_of_two(number)),
        max_size=50,
    )
)
def test_numbers_are_written_as_javascript_writes_them(numbers: list[float]) -> None:
    script = "${data.numbers.map(String)}"
    assert list(map(number_text, numbers)) == resolve_field(script, scope({"numbers": numbers}))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2.0**-24, "5.960464477539063e-8"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (123456789012345680000.0, "123456789012345680000"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (-5e-324, "-5e-324"),
        (0.1 + 0.2, "0.30000000000000004"),
        (100.0, "100"),
    ],
)
def test_a_number_is_the_same_token_in_every_form(number: float, text: str) -> None:
    forms = ["refs.data.n", "{{data.n}}", "${data.n}", "${data.n * 1}"]
    assert [resolve_token(form, scope({"n": number})) for form in forms] == [text] * 4


@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
@pytest.mark.parametrize("length", [1, 255, 512, 8192, 20_000])
def test_long_results_come_back_whole(letter: str, length: int) -> None:
    script = f"${{(() => {{ let s = ''; for (let i = 0; i < {length}; i++) s += data.v; return s }})()}}"
    text = resolve_field(script, scope({"v": letter}))
    assert (len(text), set(text)) == (length, {letter})
