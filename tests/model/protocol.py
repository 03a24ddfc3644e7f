"""The run protocol as built: one method for each transition of the code, under the transition's own name.

A transaction is one action, since its rows are locked from its first look at them or guarded by the condition on its
outermost WHERE. Whatever the code does in two transactions, or outside of any, is two actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tests.model.checker import Action, Rule
from tests.model.records import (
    ACKNOWLEDGED,
    CANCELLED,
    CANCELLING,
    COMMITTED,
    EXPIRED,
    HELD,
    RUNNING,
    SENT,
    STARTED,
    WAITING,
    Hand,
    Receipt,
    Row,
    State,
)
from tests.model.rules import RULES

Actions = Iterator[tuple[Action, State]]

# What the world does to the code; every other action is a function of the code, or a test point in it.
WORLD = frozenset({"acknowledge", "crash", "expire"})
ACTIVE = (WAITING, RUNNING)
AT_WORK = (STARTED, SENT)


class AsBuilt:
    """`scopes` holds, for each cancel, the runs its filter names; they are of one invocation. `tries` is a step's
    max_attempts, and `workers` how many attempts living workers hold at most.

    A run is due as soon as it waits: a due time may come at any moment. So may the end of a lease (a pause, a
    partition, a clock set), a crash, and the answer to a cancel after its commit.
    """

    rules: Sequence[tuple[str, Rule[State]]] = RULES
    unhelpful = frozenset({"cancel"})

    def __init__(
        self, *, scopes: tuple[tuple[int, ...], ...] = ((0,), (0,)), steps: int = 2, tries: int = 2,
        workers: int = 2,
    ) -> None:  # fmt: skip
        self.scopes = scopes
        self.runs = 1 + max(max(scope) for scope in scopes)
        self.steps, self.tries, self.workers = steps, tries, workers

    def initial(self) -> State:
        """Nothing has been invoked yet."""
        return State(rows=(Row(keys=((),) * self.steps),) * self.runs)

    def has_ended(self, state: State) -> bool:
        """Whether every acknowledged invoke has come to its end."""
        return not _is_invoked(state) or all(row.status for row in state.rows)

    def actions(self, state: State) -> Actions:
        """Everything that may happen next."""
        yield from self.invoke(state)
        if not _is_invoked(state):
            return
        yield from self.cancel(state)
        yield from self.acknowledge(state)
        for run, row in enumerate(state.rows):
            if not row.status:
                yield from self.start(state, run, row)
                yield from self.expire(state, run, row)
                yield from self.reap(state, run, row)
                yield from self.settle(state, run, row)
                yield from self.archive(state, run, row)
        for hand in state.hands:
            row = state.rows[hand.run]
            yield from self.effect(state, hand, row)
            yield from self.renew(state, hand, row)
            yield from self.report(state, hand, row)
            yield from self.crash(state, hand)

    # -- invoke, start, effect --------------------------------------------------------------------------

    def invoke(self, state: State) -> Actions:
        if _is_invoked(state):
            return
        rows = tuple(row._replace(state=WAITING) for row in state.rows)
        yield Action("invoke", "client"), state._replace(rows=rows)

    def start(self, state: State, run: int, row: Row) -> Actions:
        if row.state == WAITING and len(state.hands) < self.workers:
            yield self.started(state, run, row)

    def started(self, state: State, run: int, row: Row) -> tuple[Action, State]:
        """The run in the hands of a worker, under the next fence."""
        row = row._replace(state=RUNNING, fence=row.fence + 1, attempt=row.attempt + 1, lease=HELD)
        hand = Hand(run, row.fence, row.step, row.attempt)
        note = f"step {row.step}, attempt {row.attempt}, fence {row.fence}"
        return Action("start", hand.worker, run, row.fence, note), state.write(run, row).take(hand)

    def effect(self, state: State, hand: Hand, row: Row) -> Actions:
        if hand.phase == STARTED:
            key = self.key(hand)
            keys = tuple(
                tuple(sorted({*seen, key})) if step == hand.step else seen
                for step, seen in enumerate(row.keys)
            )  # fmt: skip
            sent = state.drop(hand).take(hand._replace(phase=SENT)).write(hand.run, row._replace(keys=keys))
            yield Action("effect", hand.worker, hand.run, hand.fence, f"key {key}"), sent

    def key(self, hand: Hand) -> str:
        """channels.base.Message.idempotency_key: the run and the step, never the attempt."""
        return f"{hand.run}:{hand.step}"

    # -- what a worker writes back ----------------------------------------------------------------------

    def report(self, state: State, hand: Hand, row: Row) -> Actions:
        """A worker writes back an attempt that had its effect, was skipped, or failed before the effect or after."""
        if hand.phase not in AT_WORK:
            return
        freed = state.drop(hand)
        if not self.is_held(hand, row):
            yield from self._settle_late(freed, hand, row)
        elif row.state == CANCELLING:
            yield from self.let_go(freed, hand, row)
        else:
            yield from self.finish(freed, hand, row)
            yield from self.after_failure(freed, hand, row)

    def is_held(self, hand: Hand, row: Row) -> bool:
        """LiveRunQuerySet.hold, and the guard of finish."""
        return row.fence == hand.fence and row.lease != ""

    def finish(self, state: State, hand: Hand, row: Row) -> Actions:
        step = hand.step + 1
        if step == self.steps:
            note, moved = "the end", self.ended(row, "completed")
        else:
            note = f"waits at step {step}"
            moved = row._replace(state=WAITING, step=step, attempt=0, lease="")
        yield Action("finish", hand.worker, hand.run, hand.fence, note), state.write(hand.run, moved)

    def after_failure(self, state: State, hand: Hand, row: Row) -> Actions:
        if hand.attempt < self.tries:
            note, moved = "waits for another attempt", row._replace(state=WAITING, lease="")
        else:
            note, moved = "the end: failed", self.ended(row, "failed")
        yield Action("after_failure", hand.worker, hand.run, hand.fence, note), state.write(hand.run, moved)

    def ended(self, row: Row, status: str) -> Row:
        """The live row goes, Run takes the status. Whoever still sends was never called off."""
        return Row(keys=row.keys, by=row.by, status=status)

    def let_go(self, state: State, hand: Hand, row: Row) -> Actions:
        left = row._replace(lease="", state=CANCELLING if row.unsettled else CANCELLED)
        yield Action("let_go", hand.worker, hand.run, hand.fence, left.state), state.write(hand.run, left)

    def _settle_late(self, state: State, hand: Hand, row: Row) -> Actions:
        struck = row if row.status else self.struck(row, hand.fence)
        action = Action("settle_late", hand.worker, hand.run, hand.fence, f"strikes {hand.fence}")
        yield action, state.write(hand.run, struck)

    def struck(self, row: Row, fence: int) -> Row:
        """LiveRunQuerySet.settle: that attempt is settled; the last one makes a cancelling run cancelled."""
        left = tuple(one for one in row.unsettled if one != fence)
        ends = row.state == CANCELLING and not left and not row.lease
        return row._replace(unsettled=left, state=CANCELLED if ends else row.state)

    def renew(self, state: State, hand: Hand, row: Row) -> Actions:
        if hand.phase in AT_WORK and row.lease == EXPIRED and row.fence == hand.fence:
            renewed = state.write(hand.run, row._replace(lease=HELD))
            yield Action("renew", hand.worker, hand.run, hand.fence), renewed

    def crash(self, state: State, hand: Hand) -> Actions:
        yield Action("crash", hand.worker, hand.run, hand.fence), state.drop(hand)

    # -- cancel -----------------------------------------------------------------------------------------

    def cancel(self, state: State) -> Actions:
        number = len(state.receipts) + 1
        if number <= len(self.scopes):
            yield self.cancelled(state, number, Receipt(self.scopes[number - 1]))

    def cancelled(
        self, state: State, number: int, receipt: Receipt, *, states: tuple[str, ...] = ACTIVE
    ) -> tuple[Action, State]:
        """Cancel `number` committed: its UPDATE moves what is in these states and in its scope."""
        rows, runs = list(state.rows), set(receipt.runs)
        for run in receipt.scope:
            if rows[run].state in states:
                rows[run] = self.called_off(rows[run])._replace(by=number)
                runs.add(run)
        moved = tuple(sorted(runs))
        in_flight = tuple((run, fence) for run in moved for fence in self.listed(rows[run]))
        receipt = Receipt(receipt.scope, COMMITTED, moved, in_flight)
        note = f"moved: {_named(moved)}; in flight: {_named(fence for _, fence in in_flight)}"
        written = state._replace(rows=tuple(rows)).told(number, receipt)
        return Action("cancel", f"cancel {number}", note=note), written

    def called_off(self, row: Row) -> Row:
        """The CASE of the statement: final at once unless an attempt is, or may be, in flight."""
        is_idle = row.state == WAITING and not row.unsettled
        return row._replace(state=CANCELLED if is_idle else CANCELLING)

    def listed(self, row: Row) -> tuple[int, ...]:
        """cancellation._in_flight: the attempts that the receipt names."""
        return row.open_fences

    def acknowledge(self, state: State) -> Actions:
        for number, receipt in enumerate(state.receipts, 1):
            if receipt.stage == COMMITTED:
                told = state.told(number, receipt._replace(stage=ACKNOWLEDGED))
                yield Action("acknowledge", f"cancel {number}"), told

    # -- housekeeping -----------------------------------------------------------------------------------

    def expire(self, state: State, run: int, row: Row) -> Actions:
        if row.lease == HELD:
            yield Action("expire", "time", run), state.write(run, row._replace(lease=EXPIRED))

    def reap(self, state: State, run: int, row: Row) -> Actions:
        if row.lease == EXPIRED:
            note, back = f"fence {row.fence} is unsettled", self.taken_back(row)
            yield Action("reap", "housekeeping", run, row.fence, note), state.write(run, back)

    def taken_back(self, row: Row) -> Row:
        """The attempt is unsettled; its run waits for another one, or ends when it has had them all."""
        row = row._replace(lease="", unsettled=(*row.unsettled, row.fence))
        if row.state == CANCELLING:
            return row
        if row.attempt < self.tries:
            return row._replace(state=WAITING)
        return self.ended(row, "failed")

    def settle(self, state: State, run: int, row: Row) -> Actions:
        """By the deadline: of attempts only whose worker can send no more, since it is dead or past its own."""
        for fence in row.unsettled:
            if not self.may_send(state, run, fence):
                note, struck = f"fence {fence}: outcome unknown", self.struck(row, fence)
                yield Action("settle", "housekeeping", run, fence, note), state.write(run, struck)

    def may_send(self, state: State, run: int, fence: int) -> bool:
        """Whether a living worker has that attempt and has not sent yet."""
        return any(hand[:2] == (run, fence) and hand.phase == STARTED for hand in state.hands)

    def archive(self, state: State, run: int, row: Row) -> Actions:
        if row.state == CANCELLED:
            yield Action("archive", "housekeeping", run), state.write(run, self.ended(row, CANCELLED))


def _named(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in numbers) or "none"


def _is_invoked(state: State) -> bool:
    return any(row.state or row.status for row in state.rows)
