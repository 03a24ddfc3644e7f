"""Cancels of any size: a bar is placed, what is in flight is listed, and its runs are swept; and that protocol with
one rule left out at a time (docs/decisions/0007-bars.md)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.model.checker import Action, Rule
from tests.model.protocol import ACTIVE, Actions, AsBuilt
from tests.model.records import COMMITTED, READ, WAITING, Hand, Receipt, Row, State
from tests.model.rules import RULES


def shown(state: State) -> State:
    """As readers see it: runs under a bar as the oldest bar over them will leave them."""
    for run in range(len(state.rows)):
        state = given(state, run)
    return state


def given(state: State, run: int) -> State:
    """LiveRunQuerySet.give_to_bars: the run goes to the oldest bar over it, if there is one."""
    row = state.rows[run]
    for number in state.bars:
        if row.state in ACTIVE and run in state.receipts[number - 1].scope:
            return state.write(run, called_off(row)._replace(by=number))
    return state


def called_off(row: Row) -> Row:
    is_idle = row.state == WAITING and not row.unsettled
    return row._replace(state="cancelled" if is_idle else "cancelling")


def as_shown(rule: Rule[State]) -> Rule[State]:
    """The rule, over what readers see."""
    return lambda before, action, after: rule(shown(before), action, shown(after))


class Barred(AsBuilt):
    """Every cancel is a bar. Whoever writes a run gives it to the oldest bar over it first."""

    rules: Sequence[tuple[str, Rule[State]]] = tuple((name, as_shown(rule)) for name, rule in RULES)
    unhelpful = frozenset({"bar"})

    def actions(self, state: State) -> Actions:
        yield from self.invoke(state)
        if not any(row.state or row.status for row in state.rows):
            return
        yield from self.bar(state)
        yield from self.list_in_flight(state)
        yield from self.acknowledge(state)
        yield from self.sweep(state)
        for run, row in enumerate(state.rows):
            if not row.status:
                yield from self.expire(state, run, row)
                yield from self.settle(state, run, row)
                yield from self.archive(state, run, row)
                yield from self.start_held(state, run)
                yield from self.reap_held(state, run)
        for hand in state.hands:
            row = state.rows[hand.run]
            yield from self.effect(state, hand, row)
            yield from self.renew(state, hand, row)
            yield from self.crash(state, hand)
            yield from self.report_held(state, hand)

    def bar(self, state: State) -> Actions:
        """cancellation.place_bar: behind the exclusive gate, so that no start is half-way."""
        number = len(state.receipts) + 1
        if number <= len(self.scopes):
            placed = state.told(number, Receipt(self.scopes[number - 1], READ))
            yield Action("bar", f"cancel {number}"), placed._replace(bars=(*state.bars, number))

    def list_in_flight(self, state: State) -> Actions:
        for number, receipt in enumerate(state.receipts, 1):
            if receipt.stage == READ:
                rows = self.looked_at(state).rows
                runs = tuple(run for run, row in enumerate(rows) if row.by == number)
                in_flight = tuple((run, fence) for run in runs for fence in self.listed(rows[run]))
                whole = Receipt(receipt.scope, COMMITTED, runs, in_flight)
                yield Action("list_in_flight", f"cancel {number}"), state.told(number, whole)

    def looked_at(self, state: State) -> State:
        """The rows as the receipt's author finds them."""
        return shown(state)

    def sweep(self, state: State) -> Actions:
        for number in self.swept_first(state):
            left = [run for run in state.receipts[number - 1].scope if state.rows[run].state in ACTIVE]
            for run in left:
                row = self.called_off(state.rows[run])._replace(by=number)
                yield Action("sweep", "housekeeping", run), state.write(run, row)
            if not left:
                bars = tuple(bar for bar in state.bars if bar != number)
                yield Action("sweep", "housekeeping", note="swept"), state._replace(bars=bars)

    def swept_first(self, state: State) -> tuple[int, ...]:
        return state.bars[:1]

    def start_held(self, state: State, run: int) -> Actions:
        held = given(state, run)
        yield from self.start(held, run, held.rows[run])

    def reap_held(self, state: State, run: int) -> Actions:
        held = given(state, run)
        yield from self.reap(held, run, held.rows[run])

    def report_held(self, state: State, hand: Hand) -> Actions:
        held = given(state, hand.run)
        yield from self.report(held, hand, held.rows[hand.run])

    def archive(self, state: State, run: int, row: Row) -> Actions:
        """Once its bar is swept, and its receipt whole: who completes it finds its runs among the live ones."""
        if row.by and row.by not in state.bars and state.receipts[row.by - 1].stage != READ:
            yield from super().archive(state, run, row)


class StartsUnderABar(Barred):
    """A start looks at no bars."""

    def start_held(self, state: State, run: int) -> Actions:
        yield from self.start(state, run, state.rows[run])


class EndsUnderABar(Barred):
    """A worker's report looks at no bars."""

    def report_held(self, state: State, hand: Hand) -> Actions:
        yield from self.report(state, hand, state.rows[hand.run])


class ReapsUnderABar(Barred):
    """A rescuer looks at no bars."""

    def reap_held(self, state: State, run: int) -> Actions:
        yield from self.reap(state, run, state.rows[run])


class SweepsTheNewestFirst(Barred):
    """A younger bar takes the runs of an older one."""

    def swept_first(self, state: State) -> tuple[int, ...]:
        return state.bars[-1:]


class ListsBeforeItStands(Barred):
    """What is in flight is read before the bar is in force."""

    def bar(self, state: State) -> Actions:
        number = len(state.receipts) + 1
        if number <= len(self.scopes):
            scope = self.scopes[number - 1]
            runs = tuple(run for run in scope if state.rows[run].state in ACTIVE)
            in_flight = tuple(
                (run, fence) for run in runs for fence in self.listed(called_off(state.rows[run]))
            )
            yield (
                Action("reads", f"cancel {number}"),
                state.told(number, Receipt(scope, READ, runs, in_flight)),
            )

    def list_in_flight(self, state: State) -> Actions:
        for number, receipt in enumerate(state.receipts, 1):
            if receipt.stage == READ:
                placed = state.told(number, receipt._replace(stage=COMMITTED))
                yield Action("bar", f"cancel {number}"), placed._replace(bars=(*state.bars, number))


class StartsHalfWay(Barred):
    """The bar does not wait for starts that have begun: it takes the gate shared."""

    def start_held(self, state: State, run: int) -> Actions:
        held = given(state, run)
        row = held.rows[run]
        if row.state == WAITING and len(state.hands) < self.workers:
            yield (
                Action("start reads", "a worker", run),
                state.take(Hand(run, 0, row.step, row.attempt, "begun")),
            )
        for hand in state.hands:
            if (hand.run, hand.phase) == (run, "begun") and state.rows[run].state == WAITING:
                yield self.started(state.drop(hand), run, state.rows[run])


class ArchivesTheUnlisted(Barred):
    """Runs are archived although the receipt that shall name them is not whole."""

    def archive(self, state: State, run: int, row: Row) -> Actions:
        if row.by and row.by not in state.bars:
            yield from AsBuilt.archive(self, state, run, row)

    def looked_at(self, state: State) -> State:
        live = shown(state)
        return live._replace(rows=tuple(row._replace(by=0) if row.status else row for row in live.rows))
