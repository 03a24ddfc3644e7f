"""A cancel that holds, racing invokes: the gate, the reading of holds behind it, and the commits; and that protocol
with one rule left out at a time (docs/decisions/0017-holds.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.model.checker import Action, Rule
from tests.model.records import ACKNOWLEDGED, CANCELLED, CANCELLING, COMMITTED, RUNNING, WAITING

INSIDE, STORED, HELD, MOVED, OVER = "inside", "stored", "held", "moved", "over"
LIVE = (WAITING, RUNNING)


class Run(NamedTuple):
    """One invoke and its run. `state` is inside (behind the gate), stored or held (written, not committed), then the
    run's own. `read` says that the holds were read, `by` which cancel it bears (0: none), `is_born` that it has borne
    it from the beginning."""

    state: str = ""
    read: bool = False
    by: int = 0
    is_born: bool = False


class Place(NamedTuple):
    """Runs that match two cancels that hold, numbered from 1: how far each is, and the runs on its receipt."""

    runs: tuple[Run, ...] = (Run(), Run())
    holds: tuple[str, ...] = ("", "")
    receipts: tuple[tuple[int, ...], ...] = ((), ())

    def write(self, run: int, row: Run) -> Place:
        """The state with that run written."""
        return self._replace(runs=(*self.runs[:run], row, *self.runs[run + 1 :]))

    def stage(self, number: int, stage: str) -> Place:
        """The state with hold 1, 2, ... so far."""
        return self._replace(holds=(*self.holds[: number - 1], stage, *self.holds[number:]))


def lets_nothing_pass(before: Place, action: Action, after: Place) -> bool:
    """C1: while a hold is acknowledged and not over, every run that is accepted is called off."""
    stands = any(
        was == now == ACKNOWLEDGED or (action.name == "acknowledge" and now == ACKNOWLEDGED)
        for was, now in zip(before.holds, after.holds, strict=True)
    )
    return not stands or not any(run.state in LIVE for run in after.runs)


def reports_what_was_there(before: Place, action: Action, after: Place) -> bool:
    """I5: a receipt names the runs that bear its cancel, but for those that were born under it."""
    return all(
        after.receipts[number - 1]
        == tuple(at for at, run in enumerate(after.runs) if run.by == number and not run.is_born)
        for number, stage in enumerate(after.holds, 1)
        if stage in (COMMITTED, ACKNOWLEDGED, OVER)
    )


class Holding:
    """As built: a hold is placed behind the exclusive gate, and read behind the gate."""

    rules: Sequence[tuple[str, Rule[Place]]] = (("C1", lets_nothing_pass), ("I5", reports_what_was_there))
    unhelpful = frozenset({"hold"})

    def initial(self) -> Place:
        return Place()

    def has_ended(self, state: Place) -> bool:
        return all(run.state in (RUNNING, CANCELLED, CANCELLING) for run in state.runs)

    def actions(self, state: Place) -> Iterator[tuple[Action, Place]]:
        for at, run in enumerate(state.runs):
            yield from self.invoke(state, at, run)
            if run.state == WAITING and not self.is_shut(state):
                yield Action("start", "worker", at), state.write(at, run._replace(state=RUNNING))
        for number, stage in enumerate(state.holds, 1):
            yield from self.hold(state, number, stage)

    def is_shut(self, state: Place) -> bool:
        """Whether somebody has the gate exclusively."""
        return any(stage in (INSIDE, MOVED) for stage in state.holds)

    def is_empty(self, state: Place) -> bool:
        """Whether nobody is behind the gate."""
        return not self.is_shut(state) and not any(run.state in (INSIDE, STORED, HELD) for run in state.runs)

    def invoke(self, state: Place, at: int, run: Run) -> Iterator[tuple[Action, Place]]:
        client = f"client {at}"
        if not run.state and not self.is_shut(state):
            yield Action("enter", client, at), state.write(at, run._replace(state=INSIDE))
        elif run.state == INSIDE and not run.read:
            yield Action("read", client, at), state.write(at, self.looked(state, run))
        elif run.state == INSIDE:
            stored = run._replace(state=HELD if run.by else STORED)
            yield Action("invoke", client, at), state.write(at, stored)
        elif run.state in (STORED, HELD):
            there = run._replace(state=WAITING if run.state == STORED else CANCELLED)
            yield Action("commit", client, at, note=there.state), state.write(at, there)

    def looked(self, state: Place, run: Run) -> Run:
        """The run, after its invoke has read which holds stand: the oldest has it."""
        standing = [
            number for number, stage in enumerate(state.holds, 1) if stage in (COMMITTED, ACKNOWLEDGED)
        ]
        by = standing[0] if standing else 0
        return run._replace(read=True, by=by, is_born=bool(by))

    def hold(self, state: Place, number: int, stage: str) -> Iterator[tuple[Action, Place]]:
        who = f"hold {number}"
        if not stage and self.may_enter(state):
            yield Action("hold", who), state.stage(number, INSIDE)
        elif stage == INSIDE:
            yield Action("cancel", who), self.moved(state, number).stage(number, MOVED)
        elif stage == MOVED:
            yield Action("commit", who), state.stage(number, COMMITTED)
        elif stage == COMMITTED:
            yield Action("acknowledge", who), state.stage(number, ACKNOWLEDGED)
        elif stage == ACKNOWLEDGED:
            yield Action("end", who), state.stage(number, OVER)

    def may_enter(self, state: Place) -> bool:
        return self.is_empty(state)

    def moved(self, state: Place, number: int) -> Place:
        """Its cancel: what is committed and unfinished."""
        hit = tuple(at for at, run in enumerate(state.runs) if run.state in LIVE)
        for at in hit:
            called_off = CANCELLED if state.runs[at].state == WAITING else CANCELLING
            state = state.write(at, state.runs[at]._replace(state=called_off, by=number))
        receipts = (*state.receipts[: number - 1], hit, *state.receipts[number:])
        return state._replace(receipts=receipts)


class PlacedBehindTheSharedGate(Holding):
    """A hold is placed beside invokes that are half-way."""

    def is_shut(self, state: Place) -> bool:
        return False

    def may_enter(self, state: Place) -> bool:
        return True


class ReadBeforeTheGate(Holding):
    """An invoke reads the holds while it is prepared, and waits at the gate afterwards."""

    def invoke(self, state: Place, at: int, run: Run) -> Iterator[tuple[Action, Place]]:
        if not run.state and not run.read:
            yield Action("read", f"client {at}", at), state.write(at, self.looked(state, run))
        else:
            yield from super().invoke(state, at, run)


class HeldAfterwards(Holding):
    """The cancel is one transaction, and the hold is noted on it by another."""

    def is_shut(self, state: Place) -> bool:
        return any(stage == INSIDE for stage in state.holds)


class HoldsAreReported(Holding):
    """A run that is born under a hold is added to its receipt."""

    def looked(self, state: Place, run: Run) -> Run:
        return super().looked(state, run)._replace(is_born=False)
