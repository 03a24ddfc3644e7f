"""Tells two definitions apart step by step: what was added, removed, moved and changed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["same", "added", "removed", "changed"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member that differs: `path` as words with dots; None where it is absent (or null, which says the same)."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class StepChange:
    """One step: its place (from 0) in the older and in the newer list, None where it is not there."""

    kind: Kind
    step: Any
    before: int | None
    after: int | None
    moved: bool = False
    members: Sequence[Member] = ()

    @property
    def differs(self) -> bool:
        return self.moved or self.kind != "same"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What becomes of one definition in another. `steps` are in the newer order, removed ones where they stood."""

    settings: Sequence[Member]
    steps: Sequence[StepChange]

    @property
    def is_empty(self) -> bool:
        return not self.settings and not any(step.differs for step in self.steps)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """How `after` differs. Both may be unfinished drafts: what is no list of steps counts as a setting."""
    older, newer = _steps(before), _steps(after)
    apart = {"steps"} if older is not None and newer is not None else set()
    rest = [{name: value for name, value in side.items() if name not in apart} for side in (before, after)]
    return Difference(
        settings=list(_members(rest[0], rest[1], depth=1)),
        steps=_compared(older or [], newer or []) if apart else [],
    )


def _steps(definition: Mapping[str, Any]) -> list[Any] | None:
    steps = definition.get("steps", [])
    return steps if isinstance(steps, list) else None


def _compared(older: list[Any], newer: list[Any]) -> list[StepChange]:
    pairs = _paired(older, newer)
    stayed = _longest_rise(
        [before for _, before in sorted((after, before) for before, after in pairs.items())]
    )
    origin = {after: before for before, after in pairs.items()}
    changes: list[StepChange] = []
    for place, step in enumerate(newer):
        before = origin.get(place)
        if before is None:
            changes.append(StepChange(kind="added", step=step, before=None, after=place))
            continue
        members = tuple(_members(older[before], step, depth=4))
        kind: Kind = "changed" if members else "same"
        moved = before not in stayed
        changes.append(
            StepChange(kind=kind, step=step, before=before, after=place, moved=moved, members=members)
        )
    return _with_removed(changes, older, pairs, stayed)


def _with_removed(
    changes: list[StepChange], older: list[Any], pairs: Mapping[int, int], stayed: set[int]
) -> list[StepChange]:
    """Each removed step behind the last one before it that kept its place."""
    for place in sorted(set(range(len(older))) - pairs.keys()):
        gone = StepChange(kind="removed", step=older[place], before=place, after=None)
        at = 0
        for index, change in enumerate(changes):
            is_anchor = change.kind == "removed" or change.before in stayed
            if is_anchor and change.before is not None and change.before < place:
                at = index + 1
        changes.insert(at, gone)
    return changes


def _paired(older: list[Any], newer: list[Any]) -> dict[int, int]:
    """Places in `older` to places in `newer`: first what has the same id, then what is equal, then in order what
    has the same action."""
    pairs: dict[int, int] = {}
    for key_of in (_id_of, _whole, _action_of):
        taken = set(pairs.values())
        free = [
            (place, key) for place, step in enumerate(newer) if place not in taken and (key := key_of(step))
        ]
        for before, step in enumerate(older):
            key = None if before in pairs else key_of(step)
            found = next((pair for pair in free if pair[1] == key), None) if key else None
            if found is not None:
                pairs[before] = found[0]
                free.remove(found)
    return pairs


def _id_of(step: Any) -> str | None:
    found = step.get("id") if isinstance(step, dict) else None
    return found if isinstance(found, str) else None


def _whole(step: Any) -> Any:
    return (step,)


def _action_of(step: Any) -> str | None:
    """None with an id: two steps of different ids are two steps."""
    action = step.get("action") if isinstance(step, dict) and _id_of(step) is None else None
    return action if isinstance(action, str) else None


def _longest_rise(places: Sequence[int]) -> set[int]:
    """The largest set of places that are in rising order already; all others have moved."""
    ends: list[int] = []
    last: list[int] = []
    back: list[int | None] = []
    for index, place in enumerate(places):
        at = bisect_left(ends, place)
        back.append(last[at - 1] if at else None)
        if at == len(ends):
            ends.append(place)
            last.append(index)
        else:
            ends[at], last[at] = place, index
    kept: set[int] = set()
    at_index = last[-1] if last else None
    while at_index is not None:
        kept.add(places[at_index])
        at_index = back[at_index]
    return kept


def _members(before: Any, after: Any, *, depth: int, path: str = "") -> Iterator[Member]:
    """What differs, looked into no deeper than `depth` objects."""
    if same(before, after):
        return
    if not depth or not isinstance(before, dict) or not isinstance(after, dict):
        yield Member(path=path, before=before, after=after)
        return
    for name in {**before, **after}:
        inner = f"{path}.{name}" if path else name
        yield from _members(before.get(name), after.get(name), depth=depth - 1, path=inner)


def same(before: Any, after: Any) -> bool:
    """Whether both are the same JSON: 1 and true are two values."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(same(before[name], after[name]) for name in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(same, before, after))
    return type(before) is type(after) and bool(before == after)
