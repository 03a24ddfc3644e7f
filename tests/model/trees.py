"""A cancel racing the births beneath it, row lock by row lock; and a run that waits for its child to end.

Here a transaction is more than one action: what matters is which of its statements saw what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.model.checker import Action, Rule
from tests.model.records import CANCELLED, COMMITTED, READ, RUNNING, WAITING

ENDED, RESTED = "ended", "rests"  # at its next step, which will not come
ACTIVE = (WAITING, RUNNING, RESTED)
TOP, LAST = 0, 2
Actions = Iterator[tuple[Action, "Tree"]]


class Tree(NamedTuple):
    """Three runs, each of which bears the next in its only step. `rows` are their states, empty before the birth;
    `in_hand` the runs whose step a worker has; `bearing` those whose transition has locked its row and stored the
    child, not committed. Of the cancel of the first run, `stage` is empty, read, moved or committed, `off` the runs
    it has moved (locked until it commits), `seen` what its statement under way is to move, None between two."""

    rows: tuple[str, ...] = (WAITING, "", "")
    in_hand: frozenset[int] = frozenset()
    bearing: frozenset[int] = frozenset()
    stage: str = ""
    off: frozenset[int] = frozenset()
    seen: frozenset[int] | None = None
    found: bool = False

    def write(self, run: int, state: str) -> Tree:
        """The state with that run's state written."""
        return self._replace(rows=(*self.rows[:run], state, *self.rows[run + 1 :]))


def lets_no_child_escape(before: Tree, action: Action, after: Tree) -> bool:
    """C7: once the cancel of a run is acknowledged, nothing beneath it is unfinished, nor will ever be."""
    if after.stage != COMMITTED or TOP not in after.off:
        return True
    return not any(after.rows[run] in ACTIVE for run in range(1, LAST + 1))


class OneByOne:
    """As built: the parent is moved first; then, by later statements, what is beneath it, until one finds nothing."""

    rules: Sequence[tuple[str, Rule[Tree]]] = (("C7", lets_no_child_escape),)
    unhelpful = frozenset[str]()

    def initial(self) -> Tree:
        return Tree()

    def has_ended(self, state: Tree) -> bool:
        return not state.in_hand and not state.bearing and state.stage in ("", COMMITTED)

    def actions(self, state: Tree) -> Actions:
        for run in range(LAST + 1):
            yield from self.start(state, run)
            yield from self.child(state, run)
            yield from self.finish(state, run)
        yield from self.cancel(state)
        yield from self.descend(state)

    def is_locked(self, state: Tree, run: int) -> bool:
        """Whether another transaction has written the row and not committed."""
        return run in state.bearing or (run in state.off and state.stage != COMMITTED)

    def start(self, state: Tree, run: int) -> Actions:
        if state.rows[run] == WAITING and run not in state.in_hand and not self.is_locked(state, run):
            taken = state._replace(in_hand=state.in_hand | {run})
            yield Action("start", "a worker", run), taken.write(run, RUNNING)

    def child(self, state: Tree, run: int) -> Actions:
        """finish, up to its commit: only where the guarded UPDATE moves the run itself."""
        if run not in state.in_hand or run in state.bearing or self.is_locked(state, run):
            return
        if self.may_bear(state, run) and run < LAST:
            yield Action("child", "a worker", run), state._replace(bearing=state.bearing | {run})
        elif state.rows[run] != RUNNING:
            yield Action("let_go", "a worker", run), state._replace(in_hand=state.in_hand - {run})

    def may_bear(self, state: Tree, run: int) -> bool:
        return state.rows[run] == RUNNING

    def finish(self, state: Tree, run: int) -> Actions:
        """The commit: the child is there for others to see, and its parent waits at its next step or has ended."""
        freed = state._replace(in_hand=state.in_hand - {run}, bearing=state.bearing - {run})
        if run in state.bearing:
            born = freed.write(run + 1, WAITING)
            for left in (RESTED, ENDED) if state.rows[run] == RUNNING else (state.rows[run],):
                note = f"bears {run + 1}" + (", the end" if left == ENDED else "")
                yield Action("finish", "a worker", run, note=note), born.write(run, left)
        elif run == LAST and run in state.in_hand and state.rows[run] == RUNNING and run not in state.off:
            yield Action("finish", "a worker", run, note="the end"), freed.write(run, ENDED)

    def cancel(self, state: Tree) -> Actions:
        """The first statement: its snapshot, and the parent's row once that is free."""
        if not state.stage:
            yield Action("cancel", "the cancel", note="reads"), state._replace(stage=READ)
        elif state.stage == READ and TOP not in state.bearing:
            is_active = state.rows[TOP] in ACTIVE
            stage = "moved" if is_active else COMMITTED
            off = frozenset({TOP}) if is_active else frozenset[int]()
            moved = state.write(TOP, CANCELLED) if is_active else state
            yield Action("cancel", "the cancel", TOP, note=stage), moved._replace(stage=stage, off=off)

    def descend(self, state: Tree) -> Actions:
        """A later statement: its snapshot, each row once that is free, and the same again; then the commit."""
        if state.stage != "moved":
            return
        if state.seen is None:
            seen = self.beneath(state)
            note = f"finds {', '.join(map(str, sorted(seen))) or 'nothing'}"
            yield Action("descend", "the cancel", note=note), state._replace(seen=seen, found=bool(seen))
        elif state.seen:
            run = min(state.seen)
            if run not in state.bearing:
                left = state._replace(seen=state.seen - {run})
                if state.rows[run] in ACTIVE:
                    left = left.write(run, CANCELLED)._replace(off=state.off | {run})
                yield Action("descend", "the cancel", run, note=left.rows[run]), left
        elif self.looks_again(state):
            yield Action("descend", "the cancel", note="again"), state._replace(seen=None)
        else:
            yield Action("acknowledge", "the cancel"), state._replace(stage=COMMITTED, seen=None)

    def looks_again(self, state: Tree) -> bool:
        return state.found

    def beneath(self, state: Tree) -> frozenset[int]:
        """Committed, unfinished, and under the first run by their Descent, whatever became of those between."""
        return frozenset(run for run in range(1, LAST + 1) if state.rows[run] in ACTIVE)


class BearsWhateverBecame(OneByOne):
    """The record step writes although its own row was not moved."""

    def may_bear(self, state: Tree, run: int) -> bool:
        return True


class OneSnapshot(OneByOne):
    """Parent and children by one statement, hence by one snapshot."""

    def cancel(self, state: Tree) -> Actions:
        for action, after in super().cancel(state):
            yield action, after._replace(seen=self.beneath(state)) if after.stage == READ else after

    def looks_again(self, state: Tree) -> bool:
        return False


class LooksOnce(OneByOne):
    """What is born while the statement for the children waits for a row is not looked for."""

    def looks_again(self, state: Tree) -> bool:
        return False


class GoesByWhatItMoved(OneByOne):
    """It looks again where it has moved something, and not where all that it saw was gone when it came to it."""

    def descend(self, state: Tree) -> Actions:
        for action, after in super().descend(state):
            moved = after.off != state.off
            looks = state.seen is None and after.seen is not None
            yield action, after._replace(found=moved or (state.found and not looks))


class CutByTheFinished(OneByOne):
    """The way down leads over unfinished runs alone."""

    def beneath(self, state: Tree) -> frozenset[int]:
        found: list[int] = []
        for run in range(1, LAST + 1):
            if state.rows[run] in ("", ENDED):
                break
            found.append(run)
        return frozenset(run for run in found if state.rows[run] in ACTIVE)


# -- waiting for a child ---------------------------------------------------------------------------------------

AWAITING = "awaiting"


class Couple(NamedTuple):
    """A run in whose step another is born, for which it waits."""

    parent: str = RUNNING
    child: str = ""


class WakesAtTheEnd:
    """As built: the child is stored with the parent's rest, and the end of the child makes the parent due."""

    rules: Sequence[tuple[str, Rule[Couple]]] = ()
    unhelpful = frozenset[str]()

    def initial(self) -> Couple:
        return Couple()

    def has_ended(self, state: Couple) -> bool:
        return state == Couple(ENDED, ENDED)

    def actions(self, state: Couple) -> Iterator[tuple[Action, Couple]]:
        yield from self.child_born(state)
        if state.child == WAITING:
            yield Action("start", "a worker", 1), state._replace(child=RUNNING)
        if state.child == RUNNING:
            parent = WAITING if state.parent == AWAITING else state.parent
            yield Action("wake", "a worker", 1, note=parent), Couple(parent, ENDED)
        if state.parent == WAITING:
            yield Action("finish", "a worker", 0), state._replace(parent=ENDED)

    def child_born(self, state: Couple) -> Iterator[tuple[Action, Couple]]:
        if not state.child:
            yield Action("child", "a worker", 0), Couple(AWAITING, WAITING)


class RestsAfterwards(WakesAtTheEnd):
    """The child is committed first, and then its parent put to rest."""

    def child_born(self, state: Couple) -> Iterator[tuple[Action, Couple]]:
        if not state.child:
            yield Action("child", "a worker", 0), state._replace(child=WAITING)
        elif state.parent == RUNNING:
            yield Action("await_child", "a worker", 0), state._replace(parent=AWAITING)
