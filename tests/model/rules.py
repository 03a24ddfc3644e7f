"""What must hold at every transition of the protocol."""

from __future__ import annotations

from tests.model.checker import Action, Rule
from tests.model.records import ACKNOWLEDGED, READ, State

TERMINAL = frozenset({"completed", "failed", "cancelled"})


def starts_nothing_more(before: State, action: Action, after: State) -> bool:
    """I1: no step of a run starts after a cancel that reports it was acknowledged."""
    return action.name != "start" or not any(
        receipt.stage == ACKNOWLEDGED and action.run in receipt.runs for receipt in before.receipts
    )


def sends_only_what_was_listed(before: State, action: Action, after: State) -> bool:
    """I1b: after the acknowledgement no effect comes from an attempt that it did not list."""
    return action.name != "effect" or not any(
        receipt.stage == ACKNOWLEDGED
        and action.run in receipt.runs
        and (action.run, action.fence) not in receipt.in_flight
        for receipt in before.receipts
    )


def sends_nothing_once_settled(before: State, action: Action, after: State) -> bool:
    """I1c: an attempt that an acknowledgement listed, and that is no longer outstanding, sends nothing."""
    return (
        action.name != "effect"
        or action.fence in before.rows[action.run].open_fences
        or not any(
            receipt.stage == ACKNOWLEDGED and (action.run, action.fence) in receipt.in_flight
            for receipt in before.receipts
        )
    )


def repeats_under_one_key(before: State, action: Action, after: State) -> bool:
    """I3: all effects of one step of one run carry the same idempotency key."""
    return action.name != "effect" or all(len(keys) <= 1 for keys in after.rows[action.run].keys)


def keeps_terminal_statuses(before: State, action: Action, after: State) -> bool:
    """I4: a terminal status never changes."""
    return before.rows is after.rows or all(
        was.public == row.public or was.public not in TERMINAL
        for was, row in zip(before.rows, after.rows, strict=True)
    )


def reports_what_it_moved(before: State, action: Action, after: State) -> bool:
    """I5: a cancel reports a run if and only if the run points to that cancel; so at most one reports it."""
    return all(
        receipt.runs == tuple(run for run, row in enumerate(after.rows) if row.by == number)
        for number, receipt in enumerate(after.receipts, 1)
        if receipt.stage != READ
    )


def misses_nothing(before: State, action: Action, after: State) -> bool:
    """C1: once a cancel is acknowledged, every run its filter names is called off or had ended; the invoke was
    acknowledged before."""
    return action.name != "acknowledge" or all(
        after.rows[run].public in TERMINAL
        for receipt in after.receipts
        if receipt.stage == ACKNOWLEDGED
        for run in receipt.scope
    )


RULES: tuple[tuple[str, Rule[State]], ...] = (
    ("I1", starts_nothing_more),
    ("I1b", sends_only_what_was_listed),
    ("I1c", sends_nothing_once_settled),
    ("I3", repeats_under_one_key),
    ("I4", keeps_terminal_statuses),
    ("I5", reports_what_it_moved),
    ("C1", misses_nothing),
)
