"""Explains an expression to the person who writes it: what it gives, what it reads, what is odd."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal, NamedTuple

from automations.expressions import compile as forms
from automations.expressions.errors import ExpressionError
from automations.expressions.evaluation import Job, evaluate
from automations.expressions.resolution import check_condition, resolve_field, resolve_token
from automations.expressions.scope import JSON, MISSING, Scope, look_up, spell
from automations.expressions.syntax import syntax_fault
from automations.expressions.tokens import SUSPICIOUS

Form = Literal["literal", "refs", "javascript", "text"]
Purpose = Literal["token", "field", "condition"]

_REFS_INSIDE = re.compile(r"refs((?:\.[A-Za-z_$][A-Za-z0-9_$]*)+)")
_RAN: Final = frozenset({"unresolved", "unsupported_type", "too_long", "invalid_text", "runtime"})
_RESOLVE: Final[dict[Purpose, Callable[..., JSON]]] = {
    "token": resolve_token,
    "field": resolve_field,
    "condition": check_condition,
}


class Advice(NamedTuple):
    """One remark: a code for programs, a sentence for people, and an expression to use instead, if any.

    Codes: `constant`, `same_without_data`, `suspicious_text`, `looks_like_refs`, `looks_like_javascript`, or
    the kind of the error.
    """

    code: str
    message: str
    suggestion: str | None = None


class Explanation(NamedTuple):
    """What an expression does with one sample of data."""

    form: Form
    value: JSON
    """What it gives; None where `error` is set."""
    error: ExpressionError | None
    reads: tuple[str, ...]
    """Paths it read, at most 20."""
    misses: tuple[str, ...]
    """Those of them that were not there, or null."""
    constant: bool
    """It reads neither data nor profile nor refs, chance nor the clock: every run gets the same."""
    warnings: tuple[Advice, ...]
    ms: float
    """Milliseconds it took to resolve."""


def explain(source: str, scope: Scope, *, purpose: Purpose = "token", owner: str = "") -> Explanation:
    """Resolve an expression against a sample as a run would, and against no data at all; raises nothing."""
    started = time.perf_counter()
    value, error = _try(source, scope, purpose, owner)
    ms = (time.perf_counter() - started) * 1000
    form = _form(source, purpose)
    reads, misses = _reads(source, scope, form, error, owner)
    constant = form == "literal" or (form == "javascript" and error is None and not reads)
    constant = constant and _try(source, _another(scope), purpose, owner) == (value, error)
    advice = [Advice(error.kind, error.message)] if error else []
    advice += map(_sound, _advice_on_form(source, form, error))
    if purpose == "token" and error is None:
        advice += _advice_on_token(source, value, constant, scope, owner)
    return Explanation(form, value, error, reads, misses, constant, tuple(advice), round(ms, 3))


def misread(source: str) -> Advice | None:
    """What a text was probably meant to be, where it stays as it is written, being no expression; None for any
    other."""
    form = _form(source, "field")
    advice = [_sound(one) for one in _advice_on_form(source, form, None)] if form == "literal" else []
    return advice[0] if advice else None


def _sound(advice: Advice) -> Advice:
    """The advice; without its suggestion where that could not be read itself, or nobody could tell now."""
    try:
        fault = advice.suggestion and syntax_fault(advice.suggestion)
    except ExpressionError as error:
        fault = error.message
    return advice._replace(suggestion=None) if fault else advice


def _another(scope: Scope) -> Scope:
    """As another run has it, a day later."""
    return scope._replace(seed=f"{scope.seed} another", now=scope.now + timedelta(days=1))


def _try(source: str, scope: Scope, purpose: Purpose, owner: str) -> tuple[JSON, ExpressionError | None]:
    try:
        return _RESOLVE[purpose](source, scope, owner=owner), None
    except ExpressionError as error:
        return None, error


def _form(source: str, purpose: Purpose) -> Form:
    match forms.compile_expression(source):
        case _ if purpose == "condition":
            return "javascript"
        case forms.Literal():
            return "literal"
        case forms.RefsPath():
            return "refs"
        case forms.Text():
            return "text"
        case _:
            return "javascript"


def _reads(
    source: str, scope: Scope, form: Form, error: ExpressionError | None, owner: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the paths an expression reads, and those it misses."""
    if form == "javascript":
        if error is not None and error.kind not in _RAN:
            return (), error.paths
        bare = source[2:-1] if source.startswith("${") and source.endswith("}") else source
        try:
            [answer] = evaluate([Job(bare, "reads", scope.seed, source)], scope, owner=owner)
        except ExpressionError:
            return (), error.paths if error else ()
        return tuple(answer.value["reads"]), tuple(answer.value["misses"])
    compiled = forms.compile_expression(source)
    paths: list[forms.Path] = []
    if isinstance(compiled, forms.RefsPath):
        paths = [compiled.path]
    elif isinstance(compiled, forms.Text):
        paths = [part for part in compiled.parts if isinstance(part, tuple)]
    absent = [path for path in paths if look_up(scope, path) in (MISSING, None)]
    return tuple(map(spell, paths)), tuple(map(spell, absent))


def _advice_on_form(source: str, form: Form, error: ExpressionError | None) -> list[Advice]:
    """Find what was probably meant as another form."""
    if form == "literal" and _REFS_INSIDE.search(source):
        pieces = _REFS_INSIDE.split(source)
        body = "".join(
            f"${{{_named(piece)}}}" if index % 2 else _escaped(piece) for index, piece in enumerate(pieces)
        )
        message = "refs. counts only at the very beginning: this is a literal, the same for every run"
        return [Advice("looks_like_refs", message, f"${{`{body}`}}")]
    message = "${...} counts only as the whole string"
    if form == "literal" and "${" in source:
        return [Advice("looks_like_javascript", message, f"${{`{_escaped(source)}`}}")]
    if form == "javascript" and error is not None and error.kind == "syntax" and source.count("${") > 1:
        return [Advice("looks_like_javascript", message, f"${{`{_escaped(source)}`}}")]
    if form == "refs" and error is not None and re.search(r"[\[\]()\s?]", source):
        return [Advice("looks_like_javascript", "refs. takes names with dots only", f"${{{source}}}")]
    return []


def _named(path: str) -> str:
    name = path[1:]
    return name if name.startswith(("data.", "profile.")) else f"refs.{name}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("`", "\\`")


def _advice_on_token(source: str, value: JSON, constant: bool, scope: Scope, owner: str) -> list[Advice]:
    """Find tokens that many runs would share."""
    if constant:
        message = "reads no data: every run would share this token, and one cancel would stop them all"
        return [Advice("constant", message)]
    advice = []
    if SUSPICIOUS.search(value):
        advice.append(Advice("suspicious_text", "the token holds a word such as undefined or null"))
    nothing = Scope(data={}, profile={}, now=scope.now, seed=scope.seed)
    without, error = _try(source, nothing, "token", owner)
    if error is None and without == _try(source, _another(nothing), "token", owner)[0]:
        message = f'runs without these data would all share the token "{without}"'
        advice.append(Advice("same_without_data", message))
    return advice
