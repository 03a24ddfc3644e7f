"""A run that waits for its child: either is called off and let go again, before it is archived or after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.model.checker import Action, Rule
from tests.model.records import CANCELLED, RUNNING, WAITING
from tests.model.trees import AWAITING, ENDED

ARCHIVED = "archived"
ACTIVE = (AWAITING, WAITING, RUNNING)
PARENT, CHILD = 0, 1
BOTH, ONE = 1, 2  # the cancels: of the pair, and of the child; or of the parent that leaves its child
LOCKED, ALONE = "locked", "alone"


class Pair(NamedTuple):
    """`rows` are the states of parent and child, `by` the cancels that called them off; `undone` those whose runs go
    on, and `restored` those of them whose runs are all back. `ending` is what the child's last transaction, which is
    not committed, saw of its parent: it waited, and is locked, or it did not."""

    rows: tuple[str, str] = (AWAITING, WAITING)
    by: tuple[int, int] = (0, 0)
    cancels: tuple[int, ...] = ()
    undone: tuple[int, ...] = ()
    restored: tuple[int, ...] = ()
    ending: str = ""

    def write(self, run: int, state: str, *, by: int = 0) -> Pair:
        """The state with that run's state written, and who called it off."""
        rows, whose = list(self.rows), list(self.by)
        rows[run], whose[run] = state, by
        return self._replace(rows=(rows[0], rows[1]), by=(whose[0], whose[1]))

    @property
    def comes_back(self) -> bool:
        """Whether the child is archived and will be brought back."""
        return self.rows[CHILD] == ARCHIVED and self.by[CHILD] in self.undone

    @property
    def is_over(self) -> bool:
        """Whether the child has come to an end that nobody takes back at the moment."""
        return self.rows[CHILD] in (ENDED, ARCHIVED) and not self.comes_back


def waits_for_the_end(before: Pair, action: Action, after: Pair) -> bool:
    """W1: a run that waits for its child goes on when the child has ended, and not before."""
    was, now = before.rows[PARENT], after.rows[PARENT]
    return (was, now) != (AWAITING, WAITING) or after.is_over


Actions = Iterator[tuple[Action, Pair]]


class Reunited:
    """As built. `scopes` are the runs of each cancel."""

    rules: Sequence[tuple[str, Rule[Pair]]] = (("W1", waits_for_the_end),)
    unhelpful = frozenset({"cancel", "undo"})

    def __init__(self, *, scopes: Sequence[tuple[int, ...]] = ((PARENT, CHILD), (CHILD,))) -> None:
        self.scopes = dict(enumerate(scopes, 1))

    def initial(self) -> Pair:
        return Pair()

    def has_ended(self, state: Pair) -> bool:
        over = all(row in (ENDED, ARCHIVED) for row in state.rows)
        return over and not state.ending and state.undone == state.restored

    def actions(self, state: Pair) -> Actions:
        yield from self.work(state)
        yield from self.cancel(state)
        for run in (PARENT, CHILD):
            yield from self.archive(state, run)
            yield from self.bring_back(state, run)
        for number in state.cancels:
            yield from self.undo(state, number)
            yield from self.wake_restored(state, number)

    def work(self, state: Pair) -> Actions:
        """The child's end asks first who waits for it, and writes afterwards."""
        parent, child = state.rows
        if child == WAITING:
            yield Action("start", "a worker", CHILD), state.write(CHILD, RUNNING)
        if child == RUNNING and not state.ending:
            seen = LOCKED if parent == AWAITING else ALONE
            yield Action("awaiting", "a worker", PARENT, note=seen), state._replace(ending=seen)
        if state.ending:
            yield Action("finish", "a worker", CHILD), self.finished(state)
        if parent == WAITING:
            yield Action("finish", "a worker", PARENT), state.write(PARENT, ENDED)

    def finished(self, state: Pair) -> Pair:
        left = state._replace(ending="")
        if state.rows[CHILD] != RUNNING:  # called off in between: all is taken back
            return left
        ended = left.write(CHILD, ENDED)
        return ended.write(PARENT, WAITING) if state.ending == LOCKED else ended

    def cancel(self, state: Pair) -> Actions:
        for number, scope in self.scopes.items():
            if number in state.cancels or (state.ending == LOCKED and PARENT in scope):
                continue
            off = state._replace(cancels=tuple(sorted((*state.cancels, number))))
            for run in scope:
                if state.rows[run] in ACTIVE:
                    off = off.write(run, CANCELLED, by=number)
            yield Action("cancel", f"cancel {number}"), off

    def archive(self, state: Pair, run: int) -> Actions:
        """The end of a child that was called off is an end as well."""
        if state.rows[run] == CANCELLED and not (run == CHILD and state.ending):
            gone = state.write(run, ARCHIVED, by=state.by[run])
            if run == CHILD and state.rows[PARENT] == AWAITING:
                gone = gone.write(PARENT, WAITING)
            yield Action("archive", "housekeeping", run), gone

    def undo(self, state: Pair, number: int) -> Actions:
        """Behind the exclusive gate, hence not while a child is ending."""
        if number in state.undone or state.ending:
            return
        undone = state._replace(undone=tuple(sorted((*state.undone, number))))
        for run in (PARENT, CHILD):
            if state.rows[run] == CANCELLED and state.by[run] == number:
                undone = self.restored(undone, run)
        if not self.is_left(undone, number):
            undone = undone._replace(restored=tuple(sorted((*undone.restored, number))))
        yield Action("undo", f"cancel {number}"), self.woken(undone, number)

    def restored(self, state: Pair, run: int) -> Pair:
        return state.write(run, AWAITING if run == PARENT else WAITING)

    def is_left(self, state: Pair, number: int) -> bool:
        """Whether something of the cancel is archived still."""
        return any(pair == (ARCHIVED, number) for pair in zip(state.rows, state.by, strict=True))

    def woken(self, state: Pair, number: int) -> Pair:
        """`wake_left`, among the runs that the cancel may have called off."""
        if PARENT in self.scopes[number] and state.rows[PARENT] == AWAITING and self.is_over_for(state):
            return state.write(PARENT, WAITING)
        return state

    def is_over_for(self, state: Pair) -> bool:
        return state.is_over

    def bring_back(self, state: Pair, run: int) -> Actions:
        if state.rows[run] == ARCHIVED and state.by[run] in state.undone:
            yield Action("bring_back", "housekeeping", run), self.restored(state, run)

    def wake_restored(self, state: Pair, number: int) -> Actions:
        """When all are back, behind the exclusive gate."""
        is_next = number in state.undone and number not in state.restored and not self.is_left(state, number)
        if is_next and not self.is_shut(state):
            done = state._replace(restored=tuple(sorted((*state.restored, number))))
            yield Action("wake_restored", f"cancel {number}"), self.woken(done, number)

    def is_shut(self, state: Pair) -> bool:
        return bool(state.ending)


class WakesBehindTheSharedGate(Reunited):
    """A child that is ending has not seen that its parent is back, and is not seen to have ended."""

    def is_shut(self, state: Pair) -> bool:
        return False


class WakesWhoIsBack(Reunited):
    """Each run is looked at in the transaction that brings it back, and not again."""

    def bring_back(self, state: Pair, run: int) -> Actions:
        for action, back in super().bring_back(state, run):
            yield action, self.woken(back, state.by[run])

    def wake_restored(self, state: Pair, number: int) -> Actions:
        for action, _ in super().wake_restored(state, number):
            yield action, state._replace(restored=tuple(sorted((*state.restored, number))))


class WakesForTheReturning(Reunited):
    """A child that was called off counts as ended, also while it is being brought back."""

    def is_over_for(self, state: Pair) -> bool:
        return state.rows[CHILD] in (ENDED, ARCHIVED)


class ArchivesInSilence(Reunited):
    """Nobody is told of the end of a child that was called off."""

    def archive(self, state: Pair, run: int) -> Actions:
        for action, gone in super().archive(state, run):
            yield action, gone.write(PARENT, state.rows[PARENT], by=gone.by[PARENT]) if run == CHILD else gone
