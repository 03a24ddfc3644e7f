"""Changes a list of steps as a whole: add, move, duplicate, remove; and says in a line what a step does."""

from __future__ import annotations

import copy
from typing import Any

from automations.definition.inputs import ACTION_INPUTS

LONGEST_ID = 64


def steps_of(definition: Any) -> list[Any]:
    """The steps of a draft, which may be anything yet."""
    steps = definition.get("steps") if isinstance(definition, dict) else None
    return steps if isinstance(steps, list) else []


def changed(steps: list[Any], do: str, *, order: str = "") -> tuple[list[Any], int]:
    """The steps after `add.<action>`, `up.<place>`, `down.<place>`, `copy.<place>`, `remove.<place>` or `order`
    (places, with commas between, in the order wanted), and the place of the step it is about. ValueError for
    anything else."""
    word, _, of = do.partition(".")
    if word == "add" and of in ACTION_INPUTS:
        return [*steps, {"action": of, **ACTION_INPUTS[of].first}], len(steps)
    if word == "order":
        return _ordered(steps, order), 0
    place = _place(of, len(steps))
    if word == "remove":
        return [*steps[:place], *steps[place + 1 :]], max(min(place, len(steps) - 2), 0)
    if word == "copy":
        return [*steps[: place + 1], _copy(steps, place), *steps[place + 1 :]], place + 1
    to = place + {"up": -1, "down": 1}.get(word, len(steps))
    if not 0 <= to < len(steps):
        raise ValueError(do)
    moved = list(steps)
    moved[place], moved[to] = moved[to], moved[place]
    return moved, to


def _place(text: str, count: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or int(text) >= count:
        raise ValueError(text)
    return int(text)


def _ordered(steps: list[Any], order: str) -> list[Any]:
    places = [_place(text, len(steps)) for text in order.split(",")]
    if sorted(places) != list(range(len(steps))):
        raise ValueError(order)
    return [steps[place] for place in places]


def _copy(steps: list[Any], place: int) -> Any:
    """The same step under an id of its own."""
    step = copy.deepcopy(steps[place])
    if isinstance(step, dict) and isinstance(step.get("id"), str):
        taken = {other.get("id") for other in steps if isinstance(other, dict)}
        ids = (f"{step['id'][: LONGEST_ID - 5]}-{number}" for number in range(2, len(steps) + 3))
        step["id"] = next(name for name in ids if name not in taken)
    return step


def label_of(step: Any) -> str:
    """What its action is called."""
    action = step.get("action") if isinstance(step, dict) else None
    known = ACTION_INPUTS.get(action) if isinstance(action, str) else None
    return known.label if known else str(action)[:40] if action else "Not a step yet"


def summary_of(step: Any) -> str:
    """What it does, in a few words of its own: a title, a time, a token."""
    if not isinstance(step, dict):
        return ""
    for names in (
        ("name",), ("duration",), ("until",), ("cancellation_token",), ("run_id",), ("filter",), ("list",),
        ("message", "content", "title"), ("message", "content", "body"), ("template",), ("message", "template"),
        ("profile",),
        ("id",),
    ):  # fmt: skip
        found: Any = step
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, str) and found.strip():
            return found
        if isinstance(found, dict) and found:
            return ", ".join(str(name) for name in found)
    return ""
