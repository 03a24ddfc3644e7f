"""An automation that is held and enabled: the hold is placed, what is in flight is listed, and nothing starts until it
is lifted; and that protocol with one rule left out at a time (docs/decisions/0019-holding-an-automation.md)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.model.checker import Action, Rule
from tests.model.protocol import Actions, AsBuilt
from tests.model.records import ACKNOWLEDGED, COMMITTED, READ, WAITING, Hand, Hold, Row, State
from tests.model.rules import RULES

OVER = "over"


def starts_nothing_while_held(before: State, action: Action, after: State) -> bool:
    """H1: no step starts after the hold was acknowledged, until it is enabled."""
    return action.name != "start" or before.hold.stage != ACKNOWLEDGED


def sends_only_what_was_named(before: State, action: Action, after: State) -> bool:
    """H2: while it is held, no effect comes from an attempt that the acknowledgement did not name."""
    return (
        action.name != "effect"
        or before.hold.stage != ACKNOWLEDGED
        or (action.run, action.fence) in before.hold.in_flight
    )


class Held(AsBuilt):
    """All runs follow one automation, which is held once and then enabled."""

    rules: Sequence[tuple[str, Rule[State]]] = (
        *RULES,
        ("H1", starts_nothing_while_held),
        ("H2", sends_only_what_was_named),
    )
    unhelpful = frozenset({"cancel"})

    def actions(self, state: State) -> Actions:
        yield from super().actions(state)
        if any(row.state for row in state.rows):
            yield from self.disable(state)
            yield from self.steps_in_flight(state)
        yield from self.acknowledge_hold(state)
        yield from self.enable(state)

    def disable(self, state: State) -> Actions:
        """_disable: behind the exclusive gate, so that no start is half-way."""
        if not state.hold.stage:
            yield Action("disable", "a person"), state._replace(hold=Hold(READ))

    def steps_in_flight(self, state: State) -> Actions:
        if state.hold.stage == READ:
            listed = Hold(COMMITTED, self.open_attempts(state))
            yield Action("steps_in_flight", "a person"), state._replace(hold=listed)

    def open_attempts(self, state: State) -> tuple[tuple[int, int], ...]:
        """What had started and is not known to have ended. What was called off is on another receipt; it counts."""
        return tuple(
            (run, fence)
            for run, row in enumerate(state.rows)
            for fence in ((*row.unsettled, row.fence) if row.lease else row.unsettled)
        )

    def acknowledge_hold(self, state: State) -> Actions:
        if state.hold.stage == COMMITTED:
            told = state.hold._replace(stage=ACKNOWLEDGED)
            yield Action("acknowledge", "a person"), state._replace(hold=told)

    def enable(self, state: State) -> Actions:
        if state.hold.stage in (COMMITTED, ACKNOWLEDGED):
            yield Action("enable", "a person"), state._replace(hold=Hold(OVER))

    def start(self, state: State, run: int, row: Row) -> Actions:
        if not state.hold.stands:
            yield from super().start(state, run, row)


class StartsWhileHeld(Held):
    """A start looks at no holds."""

    def start(self, state: State, run: int, row: Row) -> Actions:
        yield from AsBuilt.start(self, state, run, row)


class StartsHalfWay(Held):
    """The hold does not wait for starts that have begun: it takes the gate shared."""

    def start(self, state: State, run: int, row: Row) -> Actions:
        if row.state == WAITING and len(state.hands) < self.workers and not state.hold.stands:
            begun = Hand(run, 0, row.step, row.attempt, "begun")
            yield Action("start reads", "a worker", run), state.take(begun)
        for hand in state.hands:
            if (hand.run, hand.phase) == (run, "begun") and row.state == WAITING:
                yield self.started(state.drop(hand), run, row)


class ListsBeforeItStands(Held):
    """What is in flight is read before the hold is in force."""

    def disable(self, state: State) -> Actions:
        if not state.hold.stage:
            read = Hold("reading", self.open_attempts(state))
            yield Action("reads", "a person"), state._replace(hold=read)
        if state.hold.stage == "reading":
            yield Action("disable", "a person"), state._replace(hold=state.hold._replace(stage=COMMITTED))


class NeverEnabled(Held):
    """What was held is forgotten."""

    def enable(self, state: State) -> Actions:
        yield from ()
