"""Says in JSON Schema (2020-12) what the bodies of requests and answers are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
UID: Schema = {"type": "string", "format": "uuid"}
OBJECT: Schema = {"type": "object"}
MOMENT: Schema = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
    "examples": ["2026-11-20T14:02:11.204Z"],
}
TIME: Schema = {"type": "string", "description": "ISO 8601; UTC where it names no zone.", "maxLength": 100}
DURATION: Schema = {
    "type": "string",
    "description": "Such as `5 minutes` or `P3DT2H`.",
    "maxLength": 200,
    "examples": ["5 minutes"],
}


def ref(name: str) -> Schema:
    """The component of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def prose(longest: int) -> Schema:
    """A text of 1 to so many characters."""
    return {"type": "string", "minLength": 1, "maxLength": longest}


def remark(longest: int) -> Schema:
    """A text of up to so many characters: empty, it says nothing."""
    return {"type": "string", "maxLength": longest}


def text(longest: int, *, pattern: str = r"[^\u0000-\u001f\u007f-\u009f]+") -> Schema:
    """A text of so many characters on one line, which matches the pattern."""
    return {**prose(longest), "pattern": f"^{pattern}$"}


def whole(least: int, most: int) -> Schema:
    """A whole number within these bounds."""
    return {"type": "integer", "minimum": least, "maximum": most}


def one_of(*words: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(words)}


def nullable(schema: Schema) -> Schema:
    """That, or null."""
    if set(schema) == {"type"}:
        return {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Schema, most: int | None = None, *, least: int = 0) -> Schema:
    """A list of such, of at least and at most so many."""
    bounds = {"minItems": least} if least else {}
    return {"type": "array", "items": schema, **bounds, **({} if most is None else {"maxItems": most})}


def either(*schemas: Schema) -> Schema:
    """One of these."""
    return {"anyOf": list(schemas)}


def answer(members: Mapping[str, Schema], maybe: Mapping[str, Schema] | None = None) -> Schema:
    """An object with all of these members, perhaps those of `maybe`, and no others."""
    return {
        "type": "object",
        "properties": {**members, **(maybe or {})},
        "required": list(members),
        "additionalProperties": False,
    }


def request_of(
    required: Mapping[str, Schema] | None = None,
    maybe: Mapping[str, Schema] | None = None,
    *,
    strict: bool = True,
) -> Schema:
    """An object that a request brings: a null counts as absent. One that is not strict may have other members, which
    mean nothing."""
    members = {**(required or {}), **{name: nullable(schema) for name, schema in (maybe or {}).items()}}
    schema: Schema = {"type": "object", "properties": members}
    if required:
        schema["required"] = list(required)
    return {**schema, "additionalProperties": False} if strict else schema
