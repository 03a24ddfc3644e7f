"""What a first request may bring: data that has what a token reads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from automations.expressions import Scope, explain

USUAL = {"user_id": "user_123"}


def guessed(token: object, *, now: datetime, owner: str) -> dict[str, Any]:
    """Data with a value for each member that the token's expression reads; the usual ones where it reads none."""
    if not isinstance(token, str):
        return dict(USUAL)
    data: dict[str, Any] = {}
    for path in explain(token, Scope(data={}, profile={}, now=now, seed="sample"), owner=owner).reads:
        root, *names = path.split(".")
        if root == "data" and len(names) == 1 and names[0].isidentifier():
            data[names[0]] = USUAL.get(names[0], f"{names[0].removesuffix('_id')}_123")
    return data or dict(USUAL)
