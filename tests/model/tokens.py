"""A cancel by token racing invokes: one that stores many runs, and two that each cancel the previous one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.model.checker import Action, Rule
from tests.model.records import (
    ACKNOWLEDGED,
    CANCELLED,
    CANCELLING,
    COMMITTED,
    READ,
    RUNNING,
    WAITING,
    Receipt,
)

# -- one invoke of two recipients, one cancel ----------------------------------------------------------------

CHILDREN = (0, 1)


class Family(NamedTuple):
    """An invocation and the runs of its recipients. `mark` is the invocation's own, for variants that store runs in
    batches: empty before the acknowledgement, then open or closed. `is_covered`: the cancel began after it."""

    mark: str = ""
    children: tuple[str, ...] = ("", "")
    looked: int = -1
    started: tuple[bool, ...] = (False, False)
    sent: tuple[bool, ...] = (False, False)
    is_covered: bool = False
    receipt: Receipt = Receipt(CHILDREN, "")

    def write(self, child: int, value: str) -> Family:
        """The state with that run's state written."""
        return self._replace(children=(*self.children[:child], value, *self.children[child + 1 :]))


def misses_no_child(before: Family, action: Action, after: Family) -> bool:
    """C1: a cancel that began after the invoke's acknowledgement leaves no run of it, stored by then or not."""
    if after.receipt.stage != ACKNOWLEDGED or not after.is_covered:
        return True
    return not {WAITING, RUNNING} & set(after.children)


def sends_only_what_was_listed(before: Family, action: Action, after: Family) -> bool:
    """I1b: after the acknowledgement no effect comes from a run that it reports and does not list in flight."""
    receipt = before.receipt
    return (
        action.name != "effect"
        or receipt.stage != ACKNOWLEDGED
        or action.run not in receipt.runs
        or (action.run, 1) in receipt.in_flight
    )


def reports_what_it_covers(before: Family, action: Action, after: Family) -> bool:
    """I5: a run is called off if and only if the receipt reports it, also when invoke and cancel overlap."""
    off = tuple(child for child in CHILDREN if after.children[child] in (CANCELLING, CANCELLED))
    return after.receipt.stage not in (COMMITTED, ACKNOWLEDGED) or after.receipt.runs == off


class OneTransaction:
    """As built: the runs of an invocation are stored by one transaction, whose commit is the acknowledgement."""

    rules: Sequence[tuple[str, Rule[Family]]] = (
        ("C1", misses_no_child),
        ("I1b", sends_only_what_was_listed),
        ("I5", reports_what_it_covers),
    )
    unhelpful = frozenset({"cancel"})

    def initial(self) -> Family:
        return Family()

    def has_ended(self, state: Family) -> bool:
        return not {WAITING, RUNNING} & set(state.children) or all(state.sent)

    def actions(self, state: Family) -> Iterator[tuple[Action, Family]]:
        yield from self.invoke(state)
        yield from self.cancel(state)
        if state.receipt.stage == COMMITTED:
            told = state.receipt._replace(stage=ACKNOWLEDGED)
            yield Action("acknowledge", "cancel"), state._replace(receipt=told)
        for child in CHILDREN:
            if state.children[child] == WAITING:
                started = _marked(state.started, child)
                yield Action("start", "worker", child), state.write(child, RUNNING)._replace(started=started)
            if state.started[child] and not state.sent[child]:
                yield Action("effect", "worker", child), state._replace(sent=_marked(state.sent, child))

    def invoke(self, state: Family) -> Iterator[tuple[Action, Family]]:
        if not state.mark:
            yield Action("invoke", "client"), state._replace(mark="open", children=(WAITING, WAITING))

    def cancel(self, state: Family) -> Iterator[tuple[Action, Family]]:
        if not state.receipt.stage:
            yield self.cancelled(self.begun(state))

    def begun(self, state: Family) -> Family:
        return state._replace(is_covered=bool(state.mark), receipt=Receipt(CHILDREN, READ))

    def cancelled(self, state: Family) -> tuple[Action, Family]:
        runs = tuple(child for child in CHILDREN if state.children[child] in (WAITING, RUNNING))
        in_flight = tuple((child, 1) for child in runs if state.children[child] == RUNNING)
        for child in runs:
            state = state.write(child, CANCELLED if state.children[child] == WAITING else CANCELLING)
        receipt = Receipt(CHILDREN, COMMITTED, runs, in_flight)
        return Action("cancel", "cancel", note=f"moved: {len(runs)}"), state._replace(receipt=receipt)


def _marked(marks: tuple[bool, ...], child: int) -> tuple[bool, ...]:
    return tuple(mark or at == child for at, mark in enumerate(marks))


class InBatches(OneTransaction):
    """As longer lists would be stored: each batch locks the invocation's mark and asks for it open; a cancel closes
    it first."""

    def invoke(self, state: Family) -> Iterator[tuple[Action, Family]]:
        if not state.mark:
            yield Action("invoke", "client"), state._replace(mark="open")
        elif (child := self.next_child(state)) is not None:
            yield from self.insert(state, child)

    def next_child(self, state: Family) -> int | None:
        return next((child for child in CHILDREN if not state.children[child]), None)

    def insert(self, state: Family, child: int) -> Iterator[tuple[Action, Family]]:
        if state.mark == "open":
            yield self.inserted(state, child)

    def inserted(self, state: Family, child: int) -> tuple[Action, Family]:
        return Action("insert", "fan-out", child), state.write(child, WAITING)._replace(looked=-1)

    def begun(self, state: Family) -> Family:
        return super().begun(state)._replace(mark="closed" if state.mark else "")


class Blind(InBatches):
    """F1: batches are stored whatever happened, and a cancel moves the runs there are."""

    def insert(self, state: Family, child: int) -> Iterator[tuple[Action, Family]]:
        yield self.inserted(state, child)

    def begun(self, state: Family) -> Family:
        return super().begun(state)._replace(mark=state.mark)


class MarkUnread(InBatches):
    """F2: a cancel closes the mark, and the fan-out does not look at it."""

    def insert(self, state: Family, child: int) -> Iterator[tuple[Action, Family]]:
        yield self.inserted(state, child)


class MarkUnlocked(InBatches):
    """F3: the fan-out looks at the mark and then stores the batch, without a lock over both."""

    def insert(self, state: Family, child: int) -> Iterator[tuple[Action, Family]]:
        if state.looked == child:
            yield self.inserted(state, child)
        elif state.mark == "open":
            yield Action("look", "fan-out", child), state._replace(looked=child)


class ByIdList(OneTransaction):
    """F4: a cancel reads what is to be moved and what is in flight, then updates by that list of ids."""

    def cancel(self, state: Family) -> Iterator[tuple[Action, Family]]:
        if not state.receipt.stage:
            _, read = self.cancelled(self.begun(state))
            receipt = read.receipt._replace(stage=READ)
            yield Action("cancel reads", "cancel"), self.begun(state)._replace(receipt=receipt)
        elif state.receipt.stage == READ:
            receipt = state.receipt._replace(stage=COMMITTED)
            for child in receipt.runs:
                state = state.write(child, CANCELLING if (child, 1) in receipt.in_flight else CANCELLED)
            yield (
                Action("cancel", "cancel", note=f"moved: {len(receipt.runs)}"),
                state._replace(receipt=receipt),
            )


# -- two invokes that cancel the previous one ------------------------------------------------------------------

STORED = "stored"


class Rivals(NamedTuple):
    """Two invokes with a folded cancel step over their own token: the state of the run of each (stored is written and
    not committed, so that nobody else sees it), and who holds the token's lock."""

    runs: tuple[str, ...] = ("", "")
    lock: int = -1

    def write(self, run: int, value: str) -> Rivals:
        """The state with that run's state written."""
        return self._replace(runs=(*self.runs[:run], value, *self.runs[run + 1 :]))


def leaves_one(before: Rivals, action: Action, after: Rivals) -> bool:
    """C6: when both are acknowledged, one run is left: the one whose invoke came last."""
    return not set(after.runs) <= {WAITING, CANCELLED} or after.runs.count(WAITING) == 1


class Serialised:
    """As built: `gate.serialise` holds the token from before the first write to the end of the transaction."""

    rules: Sequence[tuple[str, Rule[Rivals]]] = (("C6", leaves_one),)
    unhelpful = frozenset[str]()

    def initial(self) -> Rivals:
        return Rivals()

    def has_ended(self, state: Rivals) -> bool:
        return set(state.runs) <= {WAITING, CANCELLED}

    def actions(self, state: Rivals) -> Iterator[tuple[Action, Rivals]]:
        for run, other in ((0, 1), (1, 0)):
            client = f"client {run}"
            if not state.runs[run]:
                yield from self.serialise(state, run)
                if self.holds(state, run):
                    stored = state.write(run, STORED)
                    if state.runs[other] == WAITING:
                        stored = stored.write(other, CANCELLED)
                    yield (
                        Action("invoke", client, run, note=f"cancels: {stored.runs[other] == CANCELLED}"),
                        stored,
                    )
            elif state.runs[run] == STORED:
                free = -1 if state.lock == run else state.lock
                yield Action("commit", client, run), state.write(run, WAITING)._replace(lock=free)

    def serialise(self, state: Rivals, run: int) -> Iterator[tuple[Action, Rivals]]:
        if state.lock < 0:
            yield Action("serialise", f"client {run}", run), state._replace(lock=run)

    def holds(self, state: Rivals, run: int) -> bool:
        return state.lock == run


class Unserialised(Serialised):
    """Both look for the previous run before either has committed its own."""

    def serialise(self, state: Rivals, run: int) -> Iterator[tuple[Action, Rivals]]:
        return iter(())

    def holds(self, state: Rivals, run: int) -> bool:
        return True
