"""Lays JSON out the way people like to edit it."""

from __future__ import annotations

import json
from typing import Any

WIDTH = 78  # columns
# PostgreSQL keeps the members of an object in an order of its own: these are put back into a readable one.
ORDER = (
    "cancellation_token", "on_unresolved_token", "steps",
    "id", "action", "if", "duration", "until", "message", "channel", "to", "content", "title", "body",
)  # fmt: skip


def laid_out(value: Any) -> str:
    """The value as JSON: what fits on one line stands on one."""
    return _lines(_ordered(value), indent=0, taken=0)


def _lines(value: Any, *, indent: int, taken: int) -> str:
    """`indent` is that of the line the value begins on, `taken` the columns in front of it."""
    flat = json.dumps(value, ensure_ascii=False)
    if taken + len(flat) <= WIDTH or not value or not isinstance(value, dict | list):
        return flat
    inner, close = " " * (indent + 2), " " * indent
    if isinstance(value, list):
        parts = [_lines(member, indent=indent + 2, taken=indent + 2) for member in value]
        return "[\n" + ",\n".join(f"{inner}{part}" for part in parts) + f"\n{close}]"
    members = []
    for name, member in value.items():
        begin = f"{inner}{json.dumps(name, ensure_ascii=False)}: "
        members.append(begin + _lines(member, indent=indent + 2, taken=len(begin)))
    return "{\n" + ",\n".join(members) + f"\n{close}}}"


def _ordered(value: Any) -> Any:
    if isinstance(value, list):
        return [_ordered(member) for member in value]
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value, key=_place)}
    return value


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)
