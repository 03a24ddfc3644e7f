"""What the checker asks about runs that were started by runs: whose they are, and whether each was born once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]

CHILD_SHAPE = "delay,send"  # what every child does
BEARING = ("invoke", "await")


def actions_of(run: Entry) -> list[str]:
    """What its steps do, in order. The driver puts a definition's actions into the run's source:
    "chaos/send,delay,send"; a child's source names its parent."""
    shape = CHILD_SHAPE if run.get("parent") else str(run["source"]).partition("/")[2]
    return shape.split(",")


def beneath(runs: Iterable[str], known: Sequence[Entry]) -> set[str]:
    """These runs and all their children, at any depth."""
    children = defaultdict(list)
    for run in known:
        children[run.get("parent")].append(run["id"])
    found, left = set[str](), list(runs)
    while left:
        one = left.pop()
        found.add(one)
        left += children[one]
    return found


def escaped(runs: Iterable[str], known: Sequence[Entry]) -> set[str]:
    """What is beneath these cancelled runs and was not cancelled itself: if it had an effect later, it escaped."""
    called_off = {run["id"] for run in known if run["status"] == "cancelled"}
    mine = set(runs)
    return beneath(mine, known) - mine - called_off


def misborn(known: Sequence[Entry], *, let_go: Collection[str]) -> Iterator[Entry]:
    """Runs with more children than they have steps that bear one; and, of those completed, with fewer, unless an
    undo has `let_go` of them: it may have passed the step over."""
    born = Counter(run.get("parent") for run in known)
    for run in known:
        steps = sum(action in BEARING for action in actions_of(run))
        must = steps if run["status"] == "completed" and run["id"] not in let_go else 0
        if not must <= born[run["id"]] <= steps:
            yield run
