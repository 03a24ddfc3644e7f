"""Cancels undone: at once what is not archived, in parts what is; and that protocol with one rule left out at a time
(docs/decisions/0016-undo.md)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.model.bars import Barred, as_shown, given
from tests.model.checker import Action, Rule
from tests.model.protocol import ACTIVE, Actions, AsBuilt
from tests.model.records import ACKNOWLEDGED, CANCELLED, READ, RUNNING, WAITING, Hand, Row, State
from tests.model.rules import RULES, TERMINAL


def told(state: State) -> State:
    """As if what was undone had never been acknowledged."""
    receipts = tuple(
        receipt._replace(stage=READ) if number in state.undone else receipt
        for number, receipt in enumerate(state.receipts, 1)
    )
    return state._replace(receipts=receipts)


def until_undone(rule: Rule[State]) -> Rule[State]:
    """The rule, about cancels that stand."""
    return lambda before, action, after: rule(told(before), action, told(after))


def keeps_statuses_unless_undone(before: State, action: Action, after: State) -> bool:
    """I4: a terminal status never changes, except for runs whose cancel is undone."""
    return all(
        was.public == row.public
        or was.public not in TERMINAL
        or (was.public == CANCELLED and was.by in after.undone)
        for was, row in zip(before.rows, after.rows, strict=True)
    )


def reports_what_it_moved(before: State, action: Action, after: State) -> bool:
    """I5: a cancel reports a run if and only if the run points to it; what an undo gives back may fall to a bar that
    stands over it, and is on the first receipt."""
    released = _released(after)
    return all(
        set(receipt.runs)
        == {run for run, row in enumerate(after.rows) if row.by == number and run not in released}
        for number, receipt in enumerate(_without(after, released).receipts, 1)
        if receipt.stage != READ
    )


def misses_nothing(before: State, action: Action, after: State) -> bool:
    """C1: once a cancel is acknowledged, every run its filter names is called off or had ended, or was called off
    then by a cancel that was undone afterwards."""
    released = _released(after)
    return action.name != "acknowledge" or all(
        after.rows[run].public in TERMINAL or run in released
        for receipt in after.receipts
        if receipt.stage == ACKNOWLEDGED
        for run in receipt.scope
    )


def _released(state: State) -> set[int]:
    return {run for number in state.undone for run in state.receipts[number - 1].runs}


def _without(state: State, released: set[int]) -> State:
    receipts = tuple(
        receipt._replace(runs=tuple(run for run in receipt.runs if run not in released))
        for receipt in state.receipts
    )
    return state._replace(receipts=receipts)


def repeats_nothing(before: State, action: Action, after: State) -> bool:
    """U1: a step in flight at a cancel is not started again after its undo."""
    return action.name != "start" or (action.run, before.rows[action.run].step) not in before.passed


def calls_nothing_off(before: State, action: Action, after: State) -> bool:
    """U2: what is undone calls nothing off any more."""
    return all(
        row.by == was.by or row.by not in before.undone
        for was, row in zip(before.rows, after.rows, strict=True)
    )


def leaves_nothing(before: State, action: Action, after: State) -> bool:
    """U3: no unfinished run is left under a cancel that was undone."""
    return not any(row.state and row.by in after.undone for row in after.rows)


UNDO_RULES: tuple[tuple[str, Rule[State]], ...] = (
    *((name, until_undone(rule)) for name, rule in RULES if name not in ("I4", "I5", "C1")),
    ("I4", keeps_statuses_unless_undone),
    ("I5", until_undone(reports_what_it_moved)),
    ("C1", until_undone(misses_nothing)),
    ("U1", repeats_nothing),
    ("U2", calls_nothing_off),
    ("U3", leaves_nothing),
)


def is_here(row: Row, fence: int) -> bool:
    """Whether that attempt was made at the step where the run stands."""
    return fence > row.fence - row.attempt


class Undoable(AsBuilt):
    """Every cancel may be undone once, before its runs are archived or after."""

    rules: Sequence[tuple[str, Rule[State]]] = UNDO_RULES
    unhelpful = frozenset({"cancel", "undo"})

    def has_ended(self, state: State) -> bool:
        return super().has_ended(state) and not any(row.by in state.undone for row in state.rows)

    def actions(self, state: State) -> Actions:
        yield from super().actions(state)
        yield from self.undo(state)
        yield from self.bring_back(state)

    def let_go(self, state: State, hand: Hand, row: Row) -> Actions:
        yield from super().let_go(state, hand, row._replace(is_begun=True))

    def struck(self, row: Row, fence: int) -> Row:
        begun = row.is_begun or (row.by > 0 and fence in row.unsettled and is_here(row, fence))
        return super().struck(row._replace(is_begun=begun), fence)

    def archive(self, state: State, run: int, row: Row) -> Actions:
        """What an undo needs is kept, in the log."""
        for action, archived in super().archive(state, run, row):
            kept = row._replace(state="", status=archived.rows[run].status)
            yield action, archived.write(run, kept)

    def undo(self, state: State) -> Actions:
        """One UPDATE behind the exclusive gate."""
        for number, receipt in enumerate(state.receipts, 1):
            if receipt.stage != READ and number not in state.undone:
                yield Action("undo", f"cancel {number}"), self.undone(state, number)

    def undone(self, state: State, number: int) -> State:
        state = self.noted(state, number)
        for run, row in enumerate(state.rows):
            if row.by == number and not row.status:
                state = state.write(run, self.restored(row))
        return state

    def noted(self, state: State, number: int) -> State:
        """It is undone, and these steps must not be repeated; those under a lease go on as if nothing had been."""
        rows = state.rows
        passed = {
            (run, rows[run].step)
            for run, fence in state.receipts[number - 1].in_flight
            if rows[run].by == number and not rows[run].lease and is_here(rows[run], fence)
        }
        return state._replace(undone=(*state.undone, number), passed=tuple(sorted({*state.passed, *passed})))

    def restored(self, row: Row) -> Row:
        """The CASE of the statement. Behind its last step a run comes to its end."""
        if row.lease:
            return row._replace(state=RUNNING, by=0)
        if self.is_in_flight(row):
            if row.step + 1 == self.steps:
                return self.ended(row._replace(by=0), "completed")
            row = row._replace(step=row.step + 1, attempt=0)
        return row._replace(state=WAITING, by=0, is_begun=False)

    def is_in_flight(self, row: Row) -> bool:
        return row.is_begun or any(is_here(row, fence) for fence in row.unsettled)

    def bring_back(self, state: State) -> Actions:
        """Of archived runs: the row is made again, under a fence that nobody holds."""
        for run, row in enumerate(state.rows):
            if row.status == CANCELLED and row.by in state.undone:
                back = self.restored(row._replace(status="", fence=self.next_fence(row)))
                yield Action("bring_back", "housekeeping", run, note=back.public), state.write(run, back)

    def next_fence(self, row: Row) -> int:
        return row.fence + 1


class UndoableBar(Undoable, Barred):
    """The same of bars: what is under one is given to it first, and then it stands no more."""

    rules: Sequence[tuple[str, Rule[State]]] = tuple((name, as_shown(rule)) for name, rule in UNDO_RULES)
    unhelpful = frozenset({"bar", "undo"})

    def undone(self, state: State, number: int) -> State:
        for run in state.receipts[number - 1].scope:
            state = given(state, run)
        lifted = super().undone(state, number)
        return lifted._replace(bars=tuple(bar for bar in lifted.bars if bar != number))

    def settle(self, state: State, run: int, row: Row) -> Actions:
        held = given(state, run)
        yield from super().settle(held, run, held.rows[run])


class Repeats(Undoable):
    """Every run goes on where it stood."""

    def is_in_flight(self, row: Row) -> bool:
        return False


class RepeatsTheSettled(Undoable):
    """A lost attempt that settles leaves no mark."""

    def struck(self, row: Row, fence: int) -> Row:
        return AsBuilt.struck(self, row, fence)


class SettlesUnderABar(UndoableBar):
    """Settle looks at no bars: the run waits for another attempt when the bar is lifted."""

    def settle(self, state: State, run: int, row: Row) -> Actions:
        yield from AsBuilt.settle(self, state, run, row)


class LooksFirst(UndoableBar):
    """No exclusive gate: the undo has read which runs are its own before it lifts the bar, and workers give it more
    in between."""

    def undo(self, state: State) -> Actions:
        for number, receipt in enumerate(state.receipts, 1):
            looked = [hand for hand in state.hands if (hand.fence, hand.phase) == (-number, "looked")]
            if receipt.stage == READ or number in state.undone:
                continue
            if not looked:
                mine = tuple(run for run, row in enumerate(state.rows) if row.by == number)
                begun = state.take(Hand(len(mine), -number, 0, 0, "looked"))
                for run in mine:
                    begun = begun.take(Hand(run, -number, 0, 0, "mine"))
                yield Action("undo looks", f"cancel {number}"), begun
                continue
            runs = [hand for hand in state.hands if (hand.fence, hand.phase) == (-number, "mine")]
            lifted = self.noted(state.drop(looked[0]), number)
            for hand in runs:
                lifted = lifted.drop(hand)
                if not (row := lifted.rows[hand.run]).status:
                    lifted = lifted.write(hand.run, self.restored(row))
            bars = tuple(bar for bar in lifted.bars if bar != number)
            yield Action("undo", f"cancel {number}"), lifted._replace(bars=bars)


class SweepsTheUndone(UndoableBar):
    """The sweeper does not read the bar anew."""

    def sweep(self, state: State) -> Actions:
        for number in state.bars[:1]:
            for run in state.receipts[number - 1].scope:
                hand = Hand(run, -number, 0, 0, "sweeping")
                if state.rows[run].state in ACTIVE and hand not in state.hands:
                    yield Action("sweep looks", "housekeeping", run), state.take(hand)
        for hand in state.hands:
            if hand.phase == "sweeping":
                row, left = state.rows[hand.run], state.drop(hand)
                if row.state in ACTIVE:
                    left = left.write(hand.run, self.called_off(row)._replace(by=-hand.fence))
                yield Action("sweep", "housekeeping", hand.run), left


class ForgetsTheFence(Undoable):
    """What is brought back begins with the first fence again, which a frozen worker may hold."""

    def next_fence(self, row: Row) -> int:
        return 0


class RestoresTwice(Undoable):
    """Who brings a run back does not look whether it is still archived."""

    def bring_back(self, state: State) -> Actions:
        for run, row in enumerate(state.rows):
            if row.status == CANCELLED and row.by in state.undone:
                for number in (1, 2):
                    hand = Hand(run, -number, row.step, row.attempt, "bringing")
                    if hand not in state.hands:
                        yield Action("bring_back looks", f"housekeeper {number}", run), state.take(hand)
        for hand in state.hands:
            if hand.phase == "bringing":
                row = state.rows[hand.run]
                again = row._replace(status="", state=WAITING, by=0, step=hand.step, attempt=0, lease="")
                yield Action("bring_back", "housekeeping", hand.run), state.drop(hand).write(hand.run, again)


class LeavesTheArchived(Undoable):
    """What is archived is not brought back."""

    def bring_back(self, state: State) -> Actions:
        yield from ()
