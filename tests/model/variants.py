"""The protocol with one rule left out at a time: each variant overrides one transition, and must fall."""

from __future__ import annotations

from tests.model.checker import Action
from tests.model.protocol import ACTIVE, AT_WORK, Actions, AsBuilt
from tests.model.records import (
    CANCELLED,
    CANCELLING,
    HELD,
    READ,
    RUNNING,
    WAITING,
    Hand,
    Receipt,
    Row,
    State,
)

POPPED, CHECKED, LOOKED, REAPING, STORING = "popped", "checked", "looked", "reaping", "storing"


class CancelReadsFirst(AsBuilt):
    """N1: cancel selects the runs to move, then updates them by primary key alone."""

    def cancel(self, state: State) -> Actions:
        number = len(state.receipts) + 1
        if number <= len(self.scopes):
            scope = self.scopes[number - 1]
            read = Receipt(scope, READ, tuple(run for run in scope if state.rows[run].state in ACTIVE))
            yield Action("cancel reads", f"cancel {number}"), state.told(number, read)
        for begun, receipt in enumerate(state.receipts, 1):
            if receipt.stage == READ:
                yield self.by_primary_key(state, begun, receipt)

    def by_primary_key(self, state: State, number: int, receipt: Receipt) -> tuple[Action, State]:
        for run in receipt.runs:
            if not (row := state.rows[run]).status:
                state = state.write(run, self.called_off(row)._replace(by=number))
        return self.cancelled(state, number, receipt, states=())


class StartReadsFirst(AsBuilt):
    """N2: a worker selects a waiting run, then starts it by primary key alone."""

    def start(self, state: State, run: int, row: Row) -> Actions:
        if row.state == WAITING and len(state.hands) < self.workers:
            yield Action("start reads", "a worker", run), state.take(self.reader(run, row, READ))
        yield from self.starts_what_was_read(state, run, row, phase=READ)

    def reader(self, run: int, row: Row, phase: str) -> Hand:
        return Hand(run, 0, row.step, row.attempt, phase)

    def starts_what_was_read(self, state: State, run: int, row: Row, *, phase: str) -> Actions:
        for hand in state.hands:
            if hand.run == run and hand.phase == phase:
                yield self.started(state.drop(hand), run, row)


class SeparateQueue(StartReadsFirst):
    """N3: runs are started from a queue beside the rows; a cancel deletes the entry, unless it was popped."""

    def start(self, state: State, run: int, row: Row) -> Actions:
        yield from self.pop(state, run, row)
        yield from self.starts_what_was_read(state, run, row, phase=POPPED)

    def pop(self, state: State, run: int, row: Row) -> Actions:
        is_popped = any(hand.run == run and hand.phase in (POPPED, CHECKED) for hand in state.hands)
        if row.state == WAITING and not is_popped and len(state.hands) < self.workers:
            yield Action("pop", "a worker", run), state.take(self.reader(run, row, POPPED))


class SeparateQueueReread(SeparateQueue):
    """N3b: the same, and the worker looks at the row again before it starts."""

    def start(self, state: State, run: int, row: Row) -> Actions:
        yield from self.pop(state, run, row)
        for hand in state.hands:
            if hand.run == run and hand.phase == POPPED:
                looked = state.drop(hand)
                if row.state == WAITING:
                    looked = looked.take(hand._replace(phase=CHECKED))
                yield Action("look again", "a worker", run, note=row.state), looked
        yield from self.starts_what_was_read(state, run, row, phase=CHECKED)


class QueuedAfterwards(AsBuilt):
    """N3c: an invoke stores the row in one transaction and the queue entry in another."""

    def invoke(self, state: State) -> Actions:
        for action, invoked in super().invoke(state):
            rows = tuple(row._replace(is_queued=False) for row in invoked.rows)
            yield action, State(rows=rows, hands=(Hand(0, 0, 0, 0, STORING),))
        for hand in state.hands:
            if hand.phase == STORING:
                rows = tuple(row._replace(is_queued=True) for row in state.rows)
                yield Action("enqueue", "client"), state.drop(hand)._replace(rows=rows)

    def start(self, state: State, run: int, row: Row) -> Actions:
        if row.is_queued:
            yield from super().start(state, run, row)


class UnguardedFinish(AsBuilt):
    """N4: finish updates by primary key: neither the state nor the fence is asked for."""

    def report(self, state: State, hand: Hand, row: Row) -> Actions:
        if hand.phase in AT_WORK and not row.status:
            yield from self.finish(state.drop(hand), hand, row)
        else:
            yield from super().report(state, hand, row)


class EffectBeforeStart(AsBuilt):
    """N5: the effect may begin before the start is committed."""

    def start(self, state: State, run: int, row: Row) -> Actions:
        coming = Hand(run, row.fence + 1, row.step, row.attempt + 1)
        starting = [hand for hand in state.hands if hand[:2] == coming[:2]]
        for hand in starting:
            if row.state == WAITING:
                yield self.started(state.drop(hand), run, row)
        if row.state == WAITING and not starting and len(state.hands) < self.workers:
            yield Action("claim", coming.worker, run, coming.fence), state.take(coming)


class ListedByLease(AsBuilt):
    """N6: the receipt lists what has a lease now, so neither expired nor unsettled attempts."""

    def listed(self, row: Row) -> tuple[int, ...]:
        return (row.fence,) if row.lease == HELD else ()


class UnguardedRetry(AsBuilt):
    """N7: a failed attempt puts its run back to wait whatever became of it meanwhile."""

    def report(self, state: State, hand: Hand, row: Row) -> Actions:
        yield from super().report(state, hand, row)
        if hand.phase in AT_WORK and not row.status:
            yield from self.after_failure(state.drop(hand), hand, row)


class KeyOfTheAttempt(AsBuilt):
    """N8: the idempotency key names the attempt."""

    def key(self, hand: Hand) -> str:
        return f"{super().key(hand)}:{hand.fence}"


class ReapFromSnapshot(AsBuilt):
    """N9: reap reads what expired, and writes it back later by primary key alone."""

    def reap(self, state: State, run: int, row: Row) -> Actions:
        for _, _ in super().reap(state, run, row):
            snapshot = Hand(run, row.fence, row.step, row.attempt, REAPING)
            if snapshot not in state.hands:
                yield Action("reap reads", "housekeeping", run, row.fence), state.take(snapshot)
        for hand in state.hands:
            if hand.run == run and hand.phase == REAPING and self.may_write(row):
                seen = row._replace(state=RUNNING, step=hand.step, attempt=hand.attempt, fence=hand.fence)
                action = Action("reap", "housekeeping", run, hand.fence, f"fence {hand.fence} is unsettled")
                back = self.taken_back(seen)
                yield action, state.drop(hand).write(run, back._replace(fence=back.fence and row.fence))

    def may_write(self, row: Row) -> bool:
        return True


class ReapByStateAlone(ReapFromSnapshot):
    """Reap reads without a lock and asks only whether the run is running, not for its fence and lease."""

    def may_write(self, row: Row) -> bool:
        return row.state == RUNNING


class ReapForgets(AsBuilt):
    """Reap takes an attempt back and does not keep it as unsettled."""

    def taken_back(self, row: Row) -> Row:
        if row.state == CANCELLING:
            return row._replace(state=CANCELLED, lease="")
        return super().taken_back(row)._replace(unsettled=row.unsettled)


class ReapRevives(AsBuilt):
    """Reap does not tell cancelling from running: what it takes back waits for another attempt."""

    def taken_back(self, row: Row) -> Row:
        return super().taken_back(row._replace(state=RUNNING))


class StartKeepsFence(AsBuilt):
    """A further attempt of a run starts under the fence of the one before."""

    def started(self, state: State, run: int, row: Row) -> tuple[Action, State]:
        return super().started(state, run, row._replace(fence=0))


class LetGoIgnoresUnsettled(AsBuilt):
    """A worker that lets go of a cancelling run makes it cancelled, whatever is unsettled."""

    def let_go(self, state: State, hand: Hand, row: Row) -> Actions:
        yield from super().let_go(state, hand, row._replace(unsettled=()))


class SettleIgnoresFence(AsBuilt):
    """One late answer settles every unsettled attempt of the run."""

    def struck(self, row: Row, fence: int) -> Row:
        return super().struck(row._replace(unsettled=()), fence)


class WaitingIsAlwaysIdle(AsBuilt):
    """A waiting run is cancelled at once and nothing of it listed, though a lost attempt is unsettled."""

    def called_off(self, row: Row) -> Row:
        return super().called_off(row._replace(unsettled=()) if row.state == WAITING else row)


class CancelInTwo(AsBuilt):
    """Cancel is two UPDATEs, first of the waiting runs, then of the running ones."""

    order = (WAITING, RUNNING)

    def cancel(self, state: State) -> Actions:
        first, then = self.order
        number = len(state.receipts) + 1
        if number <= len(self.scopes):
            action, begun = self.cancelled(state, number, Receipt(self.scopes[number - 1]), states=(first,))
            half = begun.receipts[-1]._replace(stage=READ)
            yield action._replace(name="cancel begins"), begun.told(number, half)
        for number, receipt in enumerate(state.receipts, 1):
            if receipt.stage == READ:
                yield self.cancelled(state, number, receipt, states=(then,))


class CancelInTwoReversed(CancelInTwo):
    """Cancel is two UPDATEs, first of the running runs, then of the waiting ones."""

    order = (RUNNING, WAITING)


class FinishLooksFirst(AsBuilt):
    """Finish looks whether it holds the run, without a lock, then moves it by primary key alone."""

    def report(self, state: State, hand: Hand, row: Row) -> Actions:
        if hand.phase in AT_WORK and self.is_held(hand, row) and row.state == RUNNING:
            looked = state.drop(hand).take(hand._replace(phase=LOOKED))
            yield Action("finish looks", hand.worker, hand.run, hand.fence, row.state), looked
        elif hand.phase == LOOKED and not row.status:
            yield from self.finish(state.drop(hand), hand, row)
        else:
            yield from super().report(state, hand, row)


class ArchivesCancelling(AsBuilt):
    """Archive does not wait for the attempts in flight."""

    def archive(self, state: State, run: int, row: Row) -> Actions:
        yield from super().archive(state, run, row._replace(state=CANCELLED) if row.by else row)


class SettlesTheFrozen(AsBuilt):
    """A deadline settles an attempt whose worker may still wake up and send: frozen between its own look at the
    deadline and the send. This is what no server can promise anything about; the key is the same, at least."""

    def may_send(self, state: State, run: int, fence: int) -> bool:
        return False
