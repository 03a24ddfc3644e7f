"""Tells the forms of an expression apart: literal, `refs.` path, `${javascript}` and text with {{path}}."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from automations.expressions.limits import MAX_SOURCE

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands for itself."""

    text: str


@dataclass(frozen=True, slots=True)
class RefsPath:
    """A whole string `refs.a.b`: the value at that path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Text:
    """Text with {{path}}: pieces of text, and paths between them."""

    parts: tuple[str | Path, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """JavaScript, for the evaluator."""

    javascript: str


@dataclass(frozen=True, slots=True)
class FastTemplate:
    """JavaScript of a documented shape, `data.a.b` or `` `x-${data.a}` ``, that fast.py may resolve."""

    javascript: str
    parts: tuple[str | Path, ...]

    path: Path | None = None
    """Set where it is `data.a.b` alone: its value keeps its type."""


Compiled = Literal | RefsPath | Text | Script | FastTemplate

_NAME: Final = r"[A-Za-z_$][A-Za-z0-9_$]*"
_READ: Final = rf"[ \t\n]*((?:refs\.)?(?:data|profile)(?:\.{_NAME})+)[ \t\n]*"
_HOLE = re.compile(rf"\$\{{{_READ}\}}")
_READ_ONLY = re.compile(_READ)
_STATIC = re.compile(r"(?:[^`\\\r$]|\$(?!\{))*")
_MUSTACHE = re.compile(r"\{\{\s*((?:data|profile|refs)(?:\.[^\s.{}]+)+)\s*\}\}")


def parse_path(text: str) -> Path:
    """Split `data.a.b` or `refs.data.a.b` at its dots; the `refs` in front says nothing and goes."""
    path = tuple(text.split("."))
    return path[1:] if path[0] == "refs" and len(path) > 1 else path


def _template_parts(body: str) -> tuple[str | Path, ...] | None:
    """Take the inside of a template literal apart, or give None where it holds more than plain reads."""
    parts: list[str | Path] = []
    position = 0
    while position < len(body):
        if static := _STATIC.match(body, position):
            parts.append(static.group())
            position = static.end()
        hole = _HOLE.match(body, position)
        if hole is None:
            break
        parts.append(parse_path(hole.group(1)))
        position = hole.end()
    return tuple(part for part in parts if part) if position == len(body) else None


def _compile_javascript(javascript: str) -> Script | FastTemplate:
    if read := _READ_ONLY.fullmatch(javascript):
        path = parse_path(read.group(1))
        return FastTemplate(javascript, (path,), path)
    stripped = javascript.strip(" \t\n")
    if len(stripped) > 1 and stripped[0] == "`" == stripped[-1]:
        parts = _template_parts(stripped[1:-1])
        if parts and any(isinstance(part, tuple) for part in parts):
            return FastTemplate(javascript, parts)
    return Script(javascript)


def _compile_text(source: str) -> Literal | Text:
    pieces = _MUSTACHE.split(source)
    if len(pieces) == 1:
        return Literal(source)
    parts = [parse_path(piece) if index % 2 else piece for index, piece in enumerate(pieces)]
    return Text(tuple(part for part in parts if part))


def _compile(source: str) -> Compiled:
    if source.startswith("${") and source.endswith("}"):
        return _compile_javascript(source[2:-1])
    if source.startswith("refs."):
        return RefsPath(parse_path(source))
    return _compile_text(source)


_compile_cached = lru_cache(maxsize=1024)(_compile)


def compile_expression(source: str) -> Compiled:
    """Say which form `source` has; remembers the last 1,024. Raises nothing: JavaScript is not checked."""
    return _compile_cached(source) if len(source) <= MAX_SOURCE else _compile(source)
