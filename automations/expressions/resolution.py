"""Resolves tokens, fields, trees of fields and conditions against what they may read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from automations.expressions import pool
from automations.expressions.compile import (
    FastTemplate,
    Literal,
    Path,
    RefsPath,
    Script,
    Text,
    compile_expression,
    parse_path,
)
from automations.expressions.errors import ExpressionError, FieldWarning, printable
from automations.expressions.evaluation import Job, evaluate
from automations.expressions.fast import fast_text, fast_value
from automations.expressions.limits import MAX_FILLED, MAX_SOURCE, MAX_TEXT
from automations.expressions.scope import JSON, MISSING, Scope, look_up, spell
from automations.expressions.tokens import check_token, is_blank, number_text, token_text


def resolve_token(source: str, scope: Scope, *, owner: str = "") -> str:
    """Give the token an expression makes: 1 to 512 characters that identify somebody.

    Also for every other field that is an identity (recipient, list, idempotency key, batch id). `owner`
    names whose expression it is (such as an automation's id): one owner's endless expressions neither open
    another's breaker nor take every evaluator. Raises ExpressionError; only a retryable one may be tried
    again.
    """
    longest = pool.current().limits.max_token
    match compile_expression(source):
        case Literal(text):
            return check_token(text, longest=longest, source=source)
        case RefsPath(path):
            name = spell(path)
            text = token_text(look_up(scope, path), source=source, path=name)
            return check_token(text, longest=longest, source=source, paths=(name,))
        case Text(parts):
            text = _token_of_text(parts, scope, source, longest=longest)
            return check_token(text, longest=longest, source=source)
        case FastTemplate() as template if len(source) <= MAX_SOURCE:
            resolved = fast_text(template, scope)
            if resolved is not None:
                return check_token(resolved, longest=longest, source=source)
        case _:
            pass
    [answer] = evaluate([Job(source[2:-1], "token", scope.seed, source)], scope, owner=owner)
    text = token_text(answer.value, source=source, path="the result")
    return check_token(text, longest=longest, source=source)


def _token_of_text(parts: tuple[str | Path, ...], scope: Scope, source: str, *, longest: int) -> str:
    """Fill {{path}} for a token: like a JavaScript template, nothing missing, something that tells apart."""
    paths = [part for part in parts if isinstance(part, tuple)]
    names = tuple(spell(path) for path in paths)
    values = {path: look_up(scope, path) for path in paths}
    if len(parts) == 1:
        return token_text(values[paths[0]], source=source, path=names[0])
    for path, value in values.items():
        if isinstance(value, list | dict):
            message = "a list or an object stands where a value should be"
            raise ExpressionError("unresolved", message, source=source, paths=(spell(path),))
        if not isinstance(value, bool):
            token_text(value, source=source, path=spell(path))
    if all(isinstance(value, str) and is_blank(value) for value in values.values()):
        raise ExpressionError(
            "unresolved", "nothing in the result comes from the data", source=source, paths=names
        )
    return _joined(parts, values, longest=longest, source=source)


def _joined(parts: tuple[str | Path, ...], values: Mapping[Path, JSON], *, longest: int, source: str) -> str:
    """The parts with their values in them; ExpressionError as soon as it is longer than that."""
    pieces, left = [], longest
    for part in parts:
        piece = as_text(values[part]) if isinstance(part, tuple) else part
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise ExpressionError("too_long", f"the text has more than {longest} characters", source=source)
    return "".join(pieces)


def as_text(value: JSON) -> str:
    """A value as a text, or in one: numbers as JavaScript writes them, lists and objects as JSON, null as nothing."""
    if value is None or value is MISSING:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class _Pending:
    """The place of a value that an evaluator has still to give."""

    index: int


@dataclass(slots=True)
class _Tree:
    """One pass over a tree of fields: values that need no JavaScript at once, jobs for the others."""

    scope: Scope
    warnings: list[FieldWarning]
    jobs: list[Job] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    left: int = MAX_FILLED

    def resolve(self, value: JSON, place: str) -> JSON:
        if isinstance(value, str):
            return self.resolve_text(value, place)
        if isinstance(value, list):
            return [self.resolve(item, _below(place, str(index))) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and isinstance(value.get("$ref"), str):
            return self.counted(self.read(parse_path(value["$ref"]), place), value["$ref"])
        return {key: self.resolve(item, _below(place, key)) for key, item in value.items()}

    def resolve_text(self, source: str, place: str) -> JSON:
        match compile_expression(source):
            case Literal(text):
                return text
            case RefsPath(path):
                return self.counted(self.read(path, place), source)
            case Text(parts):
                return self.counted(self.fill(parts, place, source), source)
            case FastTemplate() as template if len(source) <= MAX_SOURCE:
                value = fast_value(template, self.scope)
                if value is not MISSING:
                    return self.counted(value, source)
            case Script() | FastTemplate():
                pass
        self.jobs.append(Job(source[2:-1], "field", f"{self.scope.seed}:{place}", source))
        self.places.append(place)
        return _Pending(len(self.jobs) - 1)

    def read(self, path: Path, place: str) -> JSON:
        value = look_up(self.scope, path)
        if value is MISSING:
            self.warn(place, (spell(path),), "missing, so null")
            return None
        return value

    def counted(self, value: JSON, source: str) -> JSON:
        """The value; ExpressionError where all together are too large: one text of a definition may be there a
        thousand times, and each time the whole of the data."""
        self.left -= len(as_text(value))
        if self.left < 0:
            message = f"the fields have more than {MAX_FILLED} characters together"
            raise ExpressionError("too_long", message, source=source)
        return value

    def fill(self, parts: tuple[str | Path, ...], place: str, source: str) -> str:
        values = {part: look_up(self.scope, part) for part in parts if isinstance(part, tuple)}
        absent = tuple(spell(path) for path, value in values.items() if value is MISSING or value is None)
        if absent:
            self.warn(place, absent, "missing, so left empty")
        return _joined(parts, values, longest=MAX_TEXT, source=source)

    def warn(self, place: str, paths: tuple[str, ...], what: str) -> None:
        names = tuple(printable(path) for path in paths)
        self.warnings.append(FieldWarning(printable(place), names, f"{what}: {', '.join(names)}"))

    def complete(self, value: JSON, answers: list[JSON]) -> JSON:
        if isinstance(value, _Pending):
            return answers[value.index]
        if isinstance(value, list):
            return [self.complete(item, answers) for item in value]
        if isinstance(value, dict):
            return {key: self.complete(item, answers) for key, item in value.items()}
        return value


def _below(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def resolve_tree(
    value: JSON, scope: Scope, *, owner: str = "", warnings: list[FieldWarning] | None = None
) -> JSON:
    """Resolve every text in a tree of lists and objects, and every `{"$ref": "data.x"}`, to its JSON value.

    All JavaScript of the tree takes one round trip to an evaluator and shares one CPU limit; each expression
    sees data of its own. What is missing becomes null, or nothing inside a text, and is appended to
    `warnings`. Raises ExpressionError for the first expression that has no value.
    """
    tree = _Tree(scope, [] if warnings is None else warnings)
    resolved = tree.resolve(value, "")
    if not tree.jobs:
        return resolved
    answers = evaluate(tree.jobs, scope, owner=owner)
    for place, job, answer in zip(tree.places, tree.jobs, answers, strict=True):
        tree.counted(answer.value, job.source)
        if answer.missing:
            tree.warn(place, answer.missing, "missing")
    return tree.complete(resolved, [answer.value for answer in answers])


def resolve_field(
    source: str, scope: Scope, *, owner: str = "", warnings: list[FieldWarning] | None = None
) -> JSON:
    """Resolve one field to its JSON value, as `resolve_tree` does; a field that is an identity is a token."""
    return resolve_tree(source, scope, owner=owner, warnings=warnings)


def check_condition(source: str, scope: Scope, *, owner: str = "") -> bool:
    """Say whether a condition holds: bare JavaScript, `${}` around it allowed, made true or false by `!!`.

    Raises ExpressionError: a condition that throws is neither true nor false.
    """
    text = source.strip()
    if text.startswith("${") and text.endswith("}"):
        text = text[2:-1].strip()
    if text in ("true", "false"):
        return text == "true"
    if not text:
        raise ExpressionError("syntax", "the condition is empty", source=source)
    [answer] = evaluate([Job(text, "condition", scope.seed, source)], scope, owner=owner)
    return bool(answer.value)
