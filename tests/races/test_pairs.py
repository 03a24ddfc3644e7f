"""Every transition against every other on one run: whichever commits first, the promise is kept.

The first is held inside its transaction until the second has ended or waits for it, in both orders: a cancel with each
by default, all pairs with --all, where two and three are also let go at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations_with_replacement
from typing import Any

import pytest

from automations import execution
from automations.execution import Task, housekeeping
from tests.races.held import overlap
from tests.races.history import History, check_ends, check_invariants, failed, pass_deadlines
from tests.races.together import clear, together
from tests.scenes import SEND, expire_leases, make_due, production

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

Transition = Callable[[], Any]
CANCEL_PREVIOUS: dict[str, Any] = {"action": "cancel", "cancellation_token": "t"}

# Where each is held: inside its transaction, after its first lock or write.
HELD_AT = {
    "invoke": "cancel.moved", "start": "start.moved", "finish": "finish.moved", "retry": "finish.moved",
    "fail": "finish.moved", "late": "finish.moved", "cancel": "cancel.moved",
    "bar": "gate.passed", "hold": "gate.passed", "sweep": "sweep.moved",
    "renew": "gate.passed", "reap": "reap.read", "settle": "settle.read", "archive": "archive.read",
    "reschedule": "reschedule.moved", "undo": "undo.moved", "restore": "undo.read",
}  # fmt: skip

# The situations a run can be in, and the transitions that can meet it there.
MET = {
    "running": (
        "invoke",
        "finish",
        "retry",
        "fail",
        "cancel",
        "renew",
        "reap",
        "late",
        "settle",
        "hold",
    ),
    "waiting": ("invoke", "start", "cancel", "renew", "reap", "late", "settle", "reschedule", "hold"),
    "cancelling": ("finish", "retry", "fail", "cancel", "renew", "reap", "late", "settle", "hold", "undo"),
    "cancelled": ("invoke", "start", "cancel", "renew", "late", "archive", "hold", "undo"),
    # Archived, and its cancellation undone; it is not brought back yet.
    "undone": ("invoke", "start", "cancel", "renew", "late", "restore", "undo"),
}

# What a bar meets, and what meets the runs under one that is not swept.
MET_BY_BARS = {
    **{situation: met for situation, met in MET.items() if situation not in ("cancelled", "undone")},
    "barred": (
        "invoke",
        "finish",
        "retry",
        "fail",
        "cancel",
        "bar",
        "sweep",
        "renew",
        "reap",
        "late",
        "settle",
        "undo",
    ),
}


def bring_about(situation: str, history: History) -> dict[str, Transition]:
    """A run in that situation, its first attempt lost and past its deadline, and every transition of it."""
    run = history.invoke(SEND, SEND, token="t")
    (lost,) = history.start()
    expire_leases()
    housekeeping.reap(production())
    pass_deadlines()
    task = lost
    if situation in ("running", "cancelling", "barred"):
        (task,) = history.start()
        expire_leases()
    else:
        make_due(run)
    if situation in ("cancelled", "undone"):
        history.settle()
    if situation in ("cancelling", "cancelled", "undone"):
        history.cancel(token="t")
    if situation == "undone":
        history.keep_house()
        assert history.undo()
    if situation == "barred":
        history.bar(token="t")
    return transitions(history, task=task, lost=lost)


def transitions(history: History, *, task: Task, lost: Task) -> dict[str, Transition]:
    """What can be done, by name: `task` is the attempt in hand, `lost` the one taken back."""
    done, late = execution.perform(task), execution.perform(lost)
    retry, fail = failed(task, retryable=True), failed(task, retryable=False)
    return {
        "invoke": lambda: history.invoke(CANCEL_PREVIOUS, SEND, token="t"),
        "start": history.start,
        "finish": lambda: history.finish(done),
        "retry": lambda: history.finish(retry),
        "fail": lambda: history.finish(fail),
        "late": lambda: history.finish(late),
        "cancel": lambda: history.cancel(token="t"),
        "bar": lambda: history.bar(token="t"),
        "hold": lambda: history.hold(token="t"),
        "sweep": lambda: housekeeping.sweep(production()),
        "renew": lambda: execution.renew(environment=production(), tasks=[task]),
        "reap": lambda: housekeeping.reap(production()),
        "settle": history.settle,
        "archive": history.keep_house,
        "reschedule": lambda: history.reschedule(lost.claim.run_id),
        "undo": history.undo,
        "restore": history.keep_house,
    }


@contextmanager
def told(situation: str, *names: str) -> Iterator[tuple[History, list[Transition]]]:
    """A fresh run in that situation and these of its transitions; afterwards every promise is checked."""
    history = History()
    known = bring_about(situation, history)
    try:
        yield history, [known[name] for name in names]
        check_invariants(history)
        check_ends(history)
    except AssertionError as error:
        error.add_note(f"{' and '.join(names)} of a run that is {situation}")
        raise
    finally:
        clear()


@pytest.mark.parametrize("situation", [situation for situation, met in MET.items() if "cancel" in met])
def test_a_cancel_held_in_its_transaction_and_what_meets_it(situation: str) -> None:
    for other in MET[situation]:
        for first, second in {("cancel", other), (other, "cancel")}:
            with told(situation, first, second) as (_, (one, two)):
                overlap(one, two, at=HELD_AT[first], always=situation != "undone")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("situation", "first"), [(situation, first) for situation, met in MET.items() for first in met]
)
def test_one_held_in_its_transaction_meets_each_of_the_others(situation: str, first: str) -> None:
    for second in MET[situation]:
        with told(situation, first, second) as (_, (one, other)):
            overlap(one, other, at=HELD_AT[first], always=situation != "undone")


@pytest.mark.slow
@pytest.mark.parametrize("situation", MET_BY_BARS)
def test_a_bar_held_in_its_transaction_and_what_meets_it(situation: str) -> None:
    for other in MET_BY_BARS[situation]:
        for first, second in {("bar", other), (other, "bar")}:
            with told(situation, first, second) as (_, (one, two)):
                overlap(one, two, at=HELD_AT[first], always=situation != "barred")
        if situation == "barred":
            for first, second in {("sweep", other), (other, "sweep")}:
                with told(situation, first, second) as (_, (one, two)):
                    overlap(one, two, at=HELD_AT[first], always=False)


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("situation", MET)
def test_some_at_the_same_moment(situation: str, number: int) -> None:
    for names in combinations_with_replacement(MET[situation], number):
        with told(situation, *names) as (_, all_of_them):
            together(all_of_them)
