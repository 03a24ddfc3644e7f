"""Translates the conditions of a journey's nodes into JavaScript, and such JavaScript back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from automations.definition.fields import EXPRESSION_LENGTH

SEPARATORS = {"AND": " && ", "OR": " || "}
# Compared as texts, as Courier's conditions are written: `["data.paid", "is equal", "true"]` fits true and "true".
_TEXT = 'String({path} ?? "")'
_NUMBER = "Number({path} ?? NaN)"
_FORMS = {
    "is equal": _TEXT + " === {text}",
    "is not equal": _TEXT + " !== {text}",
    "contains": _TEXT + ".includes({text})",
    "does not contain": "!" + _TEXT + ".includes({text})",
    "starts with": _TEXT + ".startsWith({text})",
    "ends with": _TEXT + ".endsWith({text})",
    "greater than": _NUMBER + " > {number}",
    "greater than or equal": _NUMBER + " >= {number}",
    "less than": _NUMBER + " < {number}",
    "less than or equal": _NUMBER + " <= {number}",
    "exists": "{path} != null",
    "does not exist": "{path} == null",
}
_NAME = r"[A-Za-z_$][\w$]*"
_STRING = r'"(?:[^"\\]|\\.)*"'
_DIGITS = r"-?(?:0|[1-9]\d{0,15})(?:\.\d{1,15})?"
_HOLES = {
    "path": rf"(?P<path>(?:data|profile)(?:\?\.(?:{_NAME}|\[{_STRING}\]))+)",
    "text": rf"(?P<text>{_STRING})",
    "number": rf"(?P<number>{_DIGITS})",
}
_VALUES: dict[str, Callable[[str], Any]] = {"text": json.loads, "number": str}
_STEP = re.compile(rf"\?\.(?:({_NAME})|\[({_STRING})\])", re.ASCII)
_PIECE = re.compile(rf"{_STRING}|[()]|[^\"()]+", re.ASCII)


def _reader(form: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", form)
    return re.compile(
        "".join(_HOLES[part] if index % 2 else re.escape(part) for index, part in enumerate(parts)), re.ASCII
    )


_READERS = {operator: _reader(form) for operator, form in _FORMS.items()}


def to_javascript(conditions: object) -> str:
    """What holds exactly when the conditions do: a tuple of texts, or AND or OR of tuples, or of such groups.

    ValueError says what is no condition.
    """
    if isinstance(conditions, list):
        return _atom(conditions)
    return _group(conditions, _inner)


def from_javascript(text: object) -> Any:
    """The conditions that `to_javascript` makes this of; None for any other."""
    if not isinstance(text, str) or len(text) > EXPRESSION_LENGTH:
        return None
    try:
        found = _read(text)
        return found if found is not None and to_javascript(found) == text else None
    except ValueError:
        return None


def _group(value: object, member: Any) -> str:
    if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= SEPARATORS.keys():
        raise ValueError("a condition is a list of texts, or an object with either “AND” or “OR”")
    ((word, members),) = value.items()
    if not isinstance(members, list) or not members:
        raise ValueError(f"“{word}” needs a list of conditions")
    if len({type(one) for one in members}) > 1:
        raise ValueError(f"“{word}” takes either conditions or groups of them")
    return SEPARATORS[word].join(f"({member(one)})" for one in members)


def _inner(value: object) -> str:
    return _atom(value) if isinstance(value, list) else _group(value, _atom)


def _atom(value: object) -> str:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value) or len(value) < 2:
        raise ValueError("a condition is a list of two or three texts: path, operator, value")
    path, operator, *rest = value
    form = _FORMS.get(operator)
    if form is None:
        raise ValueError(f"the operator “{operator[:40]}” is not known; known are: {', '.join(_FORMS)}")
    if len(rest) != (wanted := int("{text}" in form or "{number}" in form)):
        raise ValueError(f"“{operator}” takes {'one value' if wanted else 'no value'}")
    if "{number}" in form and not re.fullmatch(_DIGITS, rest[0], re.ASCII):
        raise ValueError(f"“{operator}” compares numbers, and {rest[0][:40]!r} is none")
    filled = {"path": _path(path), "text": json.dumps(rest[0]) if rest else "", "number": "".join(rest)}
    return re.sub(r"\{(\w+)\}", lambda hole: filled[hole[1]], form)


def _path(text: str) -> str:
    root, *keys = text.split(".")
    if root not in ("data", "profile") or not keys or not all(keys):
        raise ValueError(f"{text[:100]!r} is not a path; a path begins with “data.” or “profile.”")
    spelt = (key if re.fullmatch(_NAME, key, re.ASCII) else f"[{json.dumps(key)}]" for key in keys)
    return "?.".join([root, *spelt])


def _read(text: str, *, groups: int = 2) -> Any:
    """Conditions in the text, unchecked, with so many levels of groups."""
    for operator, reader in _READERS.items():
        if (found := reader.fullmatch(text)) is not None:
            named = found.groupdict()
            value = [read(named[name]) for name, read in _VALUES.items() if name in named]
            return [_dotted(named["path"]), operator, *value]
    members, between = _split(text) if groups else ([], [])
    words = [word for word, separator in SEPARATORS.items() if set(between) <= {separator}]
    read = [_read(member, groups=groups - 1) for member in members]
    return {words[0]: read} if words and read and None not in read else None


def _dotted(path: str) -> str:
    root = path.partition("?.")[0]
    return ".".join([root, *(name or json.loads(quoted) for name, quoted in _STEP.findall(path))])


def _split(text: str) -> tuple[list[str], list[str]]:
    """What stands within the outermost parentheses, and what between them; nothing where a text is not of that
    form."""
    members, between, depth, begun = list[str](), list[str](), 0, 0
    for piece in _PIECE.finditer(text):
        if piece[0] == "(":
            begun = piece.end() if depth == 0 else begun
            depth += 1
        elif piece[0] == ")":
            depth -= 1
            if depth < 0:
                return [], []
            members += [text[begun : piece.start()]] if depth == 0 else []
        elif depth == 0:
            between.append(piece[0])
    return (members, between) if len(between) == len(members) - 1 else ([], [])
