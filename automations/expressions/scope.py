"""Holds what an expression may read, and reads a path of it in plain Python: own JSON keys only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

JSON = Any
"""A value as `json.loads` gives it."""


class _Missing:
    """The type of MISSING."""


MISSING: Final = _Missing()
"""What a path gives that leads nowhere; null is a value."""


class Scope(NamedTuple):
    """What an expression may read, built once per evaluation point.

    `now` is the expression's clock (a naive time counts as UTC) and `seed` decides its `Math.random()`: the
    same of both, the same answer. `refs` holds what is readable beside data and profile: `recipient`,
    `brand`, `template` and, by its ref, what a step left behind.
    """

    data: JSON
    profile: JSON
    now: datetime
    seed: str
    refs: Mapping[str, JSON] = MappingProxyType({})


def dig(value: JSON, keys: tuple[str, ...]) -> JSON:
    """Follow keys into dicts and indexes into lists; MISSING where one is not there."""
    for key in keys:
        if type(value) is dict:
            value = value.get(key, MISSING)
        elif type(value) is list and key.isascii() and key.isdigit() and len(key) < 10:
            index = int(key)
            value = value[index] if index < len(value) and str(index) == key else MISSING
        else:
            return MISSING
    return value


def look_up(scope: Scope, path: tuple[str, ...]) -> JSON:
    """Give what a path (`data`, `profile` or a name in refs, then keys) holds, or MISSING."""
    root = path[0]
    if root == "data":
        return dig(scope.data, path[1:])
    if root == "profile":
        return dig(scope.profile, path[1:])
    return dig(scope.refs[root], path[1:]) if root in scope.refs else MISSING


def spell(path: tuple[str, ...]) -> str:
    """Write a path for people: `data.user_id`, `refs.outreach.status`."""
    return ".".join(path if path[0] in ("data", "profile") else ("refs", *path))
