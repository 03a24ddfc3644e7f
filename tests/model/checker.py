"""Visits every state a small model can reach, breadth first: what is wrong is told in the fewest actions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Action(NamedTuple):
    """One atomic thing that one process does; `note` says what came of it."""

    name: str
    process: str
    run: int = -1
    fence: int = 0
    note: str = ""

    def __str__(self) -> str:
        run = f"run {self.run}" if self.run >= 0 else ""
        return f"{self.process:<12}  {self.name:<13}  {run:<5}  {self.note}".rstrip()


Rule = Callable[[S, Action, S], bool]
"""Whether a transition (before, action, after) is allowed."""


class System(Protocol[S]):
    """What can be checked. `rules` are asked in their order at every transition; a rule about states alone
    looks at `after`. From every state, one that `has_ended` must be reachable by actions not in `unhelpful`."""

    rules: Sequence[tuple[str, Rule[S]]]
    unhelpful: frozenset[str]

    def initial(self) -> S: ...

    def actions(self, state: S, /) -> Iterable[tuple[Action, S]]: ...

    def has_ended(self, state: S, /) -> bool: ...


REACHES_AN_END = "I2"


class Verdict(NamedTuple):
    """What came of a check: the number of states seen, and, where a rule fell, its name and the shortest way."""

    states: int
    fallen: str = ""
    trace: tuple[Action, ...] = ()

    def __str__(self) -> str:
        if not self.fallen:
            return f"holds in all of {self.states:,} states"
        lines = [f"{number:>3}. {action}" for number, action in enumerate(self.trace, 1)]
        return "\n".join([f"{self.fallen} falls after {len(self.trace)} actions:", *lines])


Way = tuple[int, Action]
"""How a state was first reached: from which state, and by what."""


def check(system: System[S], *, only: str | None = None) -> Verdict:
    """The verdict over every reachable state by all rules, or by `only` one; stops at the first that falls."""
    rules = [(name, holds) for name, holds in system.rules if only in (None, name)]
    first = system.initial()
    states, numbers = [first], {first: 0}
    ways: list[Way | None] = [None]
    sources: list[list[int]] = [[]]
    for at, state in enumerate(states):  # it grows while it is walked
        for action, after in system.actions(state):
            for name, holds in rules:
                if not holds(state, action, after):
                    return Verdict(len(states), name, (*_trace(ways, at), action))
            to = numbers.get(after)
            if to is None:
                to = numbers[after] = len(states)
                states.append(after)
                ways.append((at, action))
                sources.append([])
            if action.name not in system.unhelpful:
                sources[to].append(at)
    ends = [at for at, state in enumerate(states) if system.has_ended(state)]
    if only in (None, REACHES_AN_END) and (lost := _lost(ends, sources)) is not None:
        return Verdict(len(states), REACHES_AN_END, _trace(ways, lost))
    return Verdict(len(states))


def _trace(ways: Sequence[Way | None], at: int) -> tuple[Action, ...]:
    """The actions from the first state to this one, fewest there are."""
    trace: list[Action] = []
    while (way := ways[at]) is not None:
        at, action = way
        trace.append(action)
    return tuple(reversed(trace))


def _lost(ends: Iterable[int], sources: Sequence[Sequence[int]]) -> int | None:
    """The state nearest to the first from which no end is reachable."""
    left = list(ends)
    saved = set(left)
    while left:
        for source in sources[left.pop()]:
            if source not in saved:
                saved.add(source)
                left.append(source)
    return next((at for at in range(len(sources)) if at not in saved), None)
