"""Fields, trees of fields and conditions: values, warnings, and one round trip for a step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from automations.expressions import (
    ExpressionError,
    FieldWarning,
    Scope,
    check_condition,
    pool,
    resolve_field,
    resolve_token,
    resolve_tree,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BIG = 2**53 + 1


def scope(data: Any = None, *, now: datetime = NOW, seed: str = "s", **refs: Any) -> Scope:
    return Scope(data=data or {}, profile={"email": "a@b.c"}, now=now, seed=seed, refs=refs)


def field(source: str, data: Any = None, **refs: Any) -> tuple[Any, list[FieldWarning]]:
    warnings: list[FieldWarning] = []
    return resolve_field(source, scope(data, **refs), warnings=warnings), warnings


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("plain", "plain"),
        ("refs.data.o", {"a": [1, None]}),
        ("refs.data", {"o": {"a": [1, None]}, "n": 1.5, "big": BIG, "none": None, "t": True}),
        ("refs.data.none", None),
        ("refs.profile.email", "a@b.c"),
        ("refs.outreach.status", "SENT"),
        ("${data.o}", {"a": [1, None]}),
        ("${data.n}", 1.5),
        ("${data.n * 2}", 3),
        ("${data.none}", None),
        ("${data.t}", True),
        ("${data.big}", BIG),
        ("${data.big + 1n}", BIG + 1),
        ("${[data.big, {a: data.big}]}", [BIG, {"a": BIG}]),
        ("${new Date(2026, 1, 1)}", "2026-02-01T00:00:00.000Z"),
        ("${({a: undefined, b: NaN})}", {"b": None}),
        ("${`${data.n}`}", "1.5"),
        ("${'line\\nline'}", "line\nline"),
        ("{{data.n}} {{data.t}} {{data.o}} {{data.big}}", '1.5 true {"a":[1,null]} 9007199254740993'),
        ("hi {{name}} {{ profile.email }}", "hi {{name}} a@b.c"),
    ],
)
def test_a_field_is_its_json_value(source: str, value: Any) -> None:
    data = {"o": {"a": [1, None]}, "n": 1.5, "big": BIG, "none": None, "t": True}
    assert field(source, data, outreach={"status": "SENT"}) == (value, [])


@pytest.mark.parametrize(
    ("source", "value", "paths", "message"),
    [
        ("refs.data.a.b", None, ("data.a.b",), "missing, so null: data.a.b"),
        ("refs.nope.x", None, ("refs.nope.x",), "missing, so null: refs.nope.x"),
        ("${data.a}", None, ("data.a",), "missing: data.a"),
        ("${data.items.find(i => i > 1)}", None, ("the result",), "missing: the result"),
        ("${data.n / 0}", None, ("the result",), "missing: the result"),
        ("${`Hello ${data.a}`}", "Hello undefined", ("data.a",), "missing: data.a"),
        (
            "a{{data.a}}{{data.none}}!",
            "a!",
            ("data.a", "data.none"),
            "missing, so left empty: data.a, data.none",
        ),
    ],
)
def test_what_is_missing_is_null_or_empty_with_a_warning(
    source: str, value: Any, paths: tuple[str, ...], message: str
) -> None:
    data = {"items": [1], "n": 1, "none": None}
    assert field(source, data) == (value, [FieldWarning("", paths, message)])


@pytest.mark.parametrize(
    ("javascript", "kind"),
    [
        ("() => 1", "unsupported_type"),
        ("Symbol()", "unsupported_type"),
        ("Promise.resolve(1)", "unsupported_type"),
        ("(() => { let a = []; for (let i = 0; i < 70; i++) a = [a]; return a })()", "unsupported_type"),
        ("(() => { let a = []; a[0] = a; return a })()", "runtime"),
        ("'a\\0'", "invalid_text"),
        ("({a: ['\\ud800']})", "invalid_text"),
        ("({'\\ud800': 1})", "invalid_text"),
        ("JSON.rawJSON('1e999')", "unsupported_type"),
        ("({a: [JSON.rawJSON('-1e999')]})", "unsupported_type"),
        ("'a'.repeat(70000)", "too_long"),
        ("10n ** 5000n", "too_long"),
        ("data.a.b", "runtime"),
        ("({toJSON() { for (;;); }})", "timeout"),
        ("({toJSON() { throw 1 }})", "runtime"),
    ],
)
def test_a_field_that_has_no_json_value_fails(javascript: str, kind: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        field(f"${{{javascript}}}")
    assert caught.value.kind == kind


def test_a_failing_read_names_the_path() -> None:
    with pytest.raises(ExpressionError) as caught:
        field("${data.a.b}")
    assert (caught.value.kind, caught.value.paths) == ("runtime", ("data.a",))


def test_a_tree_is_resolved_whole_in_one_round_trip() -> None:
    data = {"n": 1, "vendor": {"name": "Acme"}}
    warnings: list[FieldWarning] = []
    before = pool.current().round_trips
    value = resolve_tree(
        {
            "a": "${data.n + 1}",
            "b": ["${data.vendor.name.toLowerCase()}", {"$ref": "data.vendor.name"}, 5, None, True],
            "c": {"$ref": "refs.data.n", "kept": "since it is not alone"},
            "d": {"$ref": "data.nope"},
            "e": {"f": "${data.nope}", "g": "refs.data.n", "${data.n}": "a key is no expression"},
            "h": "${data.vendor}",
        },
        scope(data),
        warnings=warnings,
    )
    assert pool.current().round_trips - before == 1
    assert value == {
        "a": 2,
        "b": ["acme", "Acme", 5, None, True],
        "c": {"$ref": 1, "kept": "since it is not alone"},
        "d": None,
        "e": {"f": None, "g": 1, "${data.n}": "a key is no expression"},
        "h": {"name": "Acme"},
    }
    assert warnings == [
        FieldWarning("d", ("data.nope",), "missing, so null: data.nope"),
        FieldWarning("e.f", ("data.nope",), "missing: data.nope"),
    ]


def test_a_tree_without_javascript_needs_no_round_trip() -> None:
    before = pool.current().round_trips
    tree = {"a": "refs.data.n", "b": "${data.n}", "c": "${`x-${data.n}`}", "d": "{{data.n}}"}
    assert resolve_tree(tree, scope({"n": 1})) == {"a": 1, "b": 1, "c": "x-1", "d": "1"}
    assert pool.current().round_trips == before


def test_each_expression_of_a_tree_has_data_and_globals_of_its_own() -> None:
    tree = ["${data.list.reverse()}", "${data.list}", "${leak = 1}", "${typeof leak}"]
    assert resolve_tree(tree, scope({"list": [1, 2]})) == [[2, 1], [1, 2], 1, "undefined"]


@pytest.mark.parametrize("times", [1, 3, 1_000])
def test_a_text_is_filled_in_up_to_256_kib(times: int) -> None:
    data = {"x": "y" * 100_000}
    if times == 1:
        assert field("{{data.x}}!", data) == (data["x"] + "!", [])
        return
    with pytest.raises(ExpressionError) as caught:
        field("{{data.x}}" * times, data)
    assert (caught.value.kind, caught.value.message) == (
        "too_long",
        "the text has more than 262144 characters",
    )
    with pytest.raises(ExpressionError) as caught:
        resolve_token("a{{data.x}}" * times, scope(data))
    assert (caught.value.kind, caught.value.message) == ("too_long", "the text has more than 512 characters")


@pytest.mark.parametrize(
    "leaf",
    ["refs.data.x", {"$ref": "data.x"}, "{{data.x}}", "${data.x}", "${'y'.repeat(60000)}", "refs.data"],
)
def test_the_fields_of_a_tree_take_up_to_1_mib_together(leaf: Any) -> None:
    data = {"x": "y" * 60_000}
    assert len(resolve_tree([leaf] * 17, scope(data))) == 17
    with pytest.raises(ExpressionError) as caught:
        resolve_tree([leaf] * 18, scope(data))
    assert caught.value.kind == "too_long"
    assert caught.value.message == "the fields have more than 1048576 characters together"


def test_data_of_the_tree_are_not_evaluated() -> None:
    data = {"evil": "${1 + 1}", "path": "refs.data.evil", "text": "{{data.evil}}"}
    tree = [{"$ref": "data.evil"}, "refs.data.path", "${data.text}", "{{data.evil}}", "${[data.evil]}"]
    resolved = ["${1 + 1}", "refs.data.evil", "{{data.evil}}", "${1 + 1}", ["${1 + 1}"]]
    assert resolve_tree(tree, scope(data)) == resolved


def test_the_expression_that_fails_in_a_tree_is_named() -> None:
    with pytest.raises(ExpressionError) as caught:
        resolve_tree({"a": "${1 + 1}", "b": "${nope}", "c": "${while (1);}"}, scope())
    assert (caught.value.kind, caught.value.source) == ("runtime", "${nope}")


@pytest.mark.parametrize("endless", ["${while (1);}", "${new Array(2 ** 32 - 1).join(',')}"])
def test_the_expression_that_never_ends_in_a_tree_is_named(endless: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        resolve_tree(["${1 + 1}", "${2 + 2}", endless, "${3 + 3}"], scope())
    assert (caught.value.kind, caught.value.source) == ("timeout", endless)


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("data.foo === 'send-it'", True),
        ("${data.foo === 'send-it'}", True),
        ("data.foo", True),
        ("data.nope", False),
        ("data.nope?.deeper", False),
        ("'foo' in data", True),
        ("refs.data.foo && profile.email", True),
        ("data.list.some(i => i.on)", True),
        ("(new Date(data.day) - new Date()) / 86400000 > 30", True),
        ("NaN", False),
        ("''", False),
        ("[]", True),
        (" true ", True),
        ("false", False),
        ("${false}", False),
        ("const a = 1; a > 0", True),
    ],
)
def test_a_condition_is_javascript_made_true_or_false(source: str, holds: bool) -> None:
    data = {"foo": "send-it", "list": [{}, {"on": True}], "day": "2026-03-01"}
    assert check_condition(source, scope(data)) is holds


def test_conditions_of_a_tree_of_literals_need_no_evaluator() -> None:
    before = pool.current().round_trips
    assert check_condition("true", scope()) is True
    assert pool.current().round_trips == before


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("data.a.b", "runtime"),
        ("data.a = ", "syntax"),
        ("", "syntax"),
        ("${ }", "syntax"),
        ("(async () => false)()", "unsupported_type"),
        ("while (1);", "timeout"),
        ("1" + " " * 2000, "too_long"),
    ],
)
def test_a_condition_that_fails_is_neither_true_nor_false(source: str, kind: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        check_condition(source, scope())
    assert (caught.value.kind, caught.value.source) == (kind, source)


ORDER = ["UNMAPPED", "UNROUTABLE", "UNDELIVERABLE", "FILTERED", "ENQUEUED", "SIMULATED", "SENT", "DELIVERED"]


@pytest.mark.parametrize("status", [*ORDER, "OPENED", "CLICKED"])
def test_the_status_of_a_step_has_an_order(status: str) -> None:
    step = scope(None, outreach={"status": status})
    assert check_condition("refs.outreach.status < MessageStatus.Opened", step) is (status in ORDER)
    assert check_condition(f"refs.outreach.status === '{status}'", step) is True
    named = f"refs.outreach.status === MessageStatus.{status.title()}"
    assert check_condition(named, step) is True


def test_the_same_clock_and_seed_give_the_same_answer() -> None:
    draw = "${[Math.random(), Math.random(), Date.now()]}"
    first = resolve_field(draw, scope())
    assert resolve_field(draw, scope()) == first
    assert first[0] != first[1]
    assert resolve_field(draw, scope(seed="another"))[0] != first[0]
    assert resolve_tree([draw, draw], scope())[0] != resolve_tree([draw, draw], scope())[1]


@pytest.mark.parametrize(
    ("javascript", "text"),
    [
        ("new Date().toISOString()", "2026-06-01T10:30:00.123Z"),
        ("new Date(Date.now()).getTimezoneOffset()", "0"),
        ("Date().slice(0, 24)", "Mon Jun 01 2026 10:30:00"),
        ("new (new Date(0).constructor)().toISOString()", "2026-06-01T10:30:00.123Z"),
        ("new (class extends Date {})().toISOString()", "2026-06-01T10:30:00.123Z"),
        ("new Date(2020, 0, 2, 3).toISOString()", "2020-01-02T03:00:00.000Z"),
        ("new Date(Date.UTC(2020, 0)) instanceof Date ? Date.parse('2020-01-01') : 0", "1577836800000"),
    ],
)
def test_the_clock_of_an_expression_is_the_runs(javascript: str, text: str) -> None:
    now = datetime(2026, 6, 1, 12, 30, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    assert resolve_token(f"${{{javascript}}}", scope(now=now)) == text


def test_a_naive_time_counts_as_utc() -> None:
    assert resolve_token("${Date.now() + ''}", scope(now=datetime(1970, 1, 1, 0, 0, 1))) == "1000"  # noqa: DTZ001


HOST = ["process", "require", "console", "fetch", "setTimeout", "queueMicrotask", "structuredClone", "atob"]
HOST += ["performance", "SharedArrayBuffer", "Atomics", "WeakRef", "FinalizationRegistry", "WebAssembly"]
HOST += ["ShadowRealm", "std", "os", "scriptArgs"]


@pytest.mark.parametrize("name", HOST)
def test_nothing_of_a_host_is_there(name: str) -> None:
    assert resolve_token(f"${{'is ' + typeof {name}}}", scope()) == "is undefined"
