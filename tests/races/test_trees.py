"""Parents and children: whatever meets whatever, a child is born once or not at all, none escapes the cancel of its
parent, and no run waits for a child that has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError

from automations import execution
from automations.execution import housekeeping
from automations.models import Descent, Event, LiveRun, Run
from tests.races.held import held, overlap
from tests.races.history import History, check_ends, check_invariants
from tests.races.test_cut_off import MOST_STATEMENTS, broken_off
from tests.races.together import clear, rounds, together
from tests.scenes import DELAY, SEND, expire_leases, production, publish

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

Transition = Callable[[], Any]
INVOKE: dict[str, Any] = {"action": "invoke", "template": "child"}
WAIT = {**INVOKE, "wait": True}
GRAND = {"action": "invoke", "template": "grandchild"}


@pytest.fixture(autouse=True)
def _automations() -> None:
    publish("grandchild", {"steps": [DELAY, SEND]})
    publish("child", {"cancellation_token": "c", "steps": [SEND, GRAND, DELAY, SEND]})
    publish("last", {"cancellation_token": "c", "steps": [SEND, GRAND]})
    publish("single", {"cancellation_token": "c", "steps": [{**SEND, "on_crash": "fail"}]})


def bearing(history: History) -> dict[str, Transition]:
    """A run in whose hands an invoke step is."""
    parent = history.invoke(INVOKE, DELAY, SEND, token="t")
    (task,) = history.start()
    done = execution.perform(task)
    expire_leases()
    return {
        "bear": lambda: history.finish(done),
        "cancel": lambda: history.cancel(token="t"),
        "bar": lambda: history.bar(token="t"),
        "reap": lambda: housekeeping.reap(production()),
        "sweep": lambda: housekeeping.sweep(production()),
        "cancel one": lambda: history.cancel(run_pks=(parent.pk,)),
    }


def in_the_middle(history: History, child: str = "child") -> dict[str, Transition]:
    """A run that has gone on, and its child, which is about to bear one of its own."""
    history.invoke({**INVOKE, "template": child}, DELAY, SEND, token="t")
    history.finish(*[execution.perform(task) for task in history.start()])
    (task,) = history.start()
    done = execution.perform(task)
    expire_leases()
    return {
        "bear": lambda: history.finish(done),
        "cancel": lambda: history.cancel(token="t"),
        "cancel child": lambda: history.cancel(token="c"),
        "bar": lambda: history.bar(token="t"),
        "reap": lambda: housekeeping.reap(production()),
        "sweep": lambda: housekeeping.sweep(production()),
    }


def at_the_end(history: History) -> dict[str, Transition]:
    """The same, but that the child has ended when it has borne."""
    return in_the_middle(history, "last")


def awaiting(history: History) -> dict[str, Transition]:
    """A run that waits for its child, in whose hands the last step is."""
    parent = history.invoke({**WAIT, "template": "single"}, SEND, token="t")
    history.finish(*[execution.perform(task) for task in history.start()])
    (task,) = history.start()
    done = execution.perform(task)
    expire_leases()
    return {
        "end": lambda: history.finish(done),
        "cancel": lambda: history.cancel(token="t"),
        "cancel child": lambda: history.cancel(token="c"),
        "bar": lambda: history.bar(token="t"),
        "reap": lambda: housekeeping.reap(production()),
        "archive": history.keep_house,
        "start": history.start,
        "reschedule": lambda: history.reschedule(parent.pk),
        "sweep": lambda: housekeeping.sweep(production()),
    }


SITUATIONS = {
    "bearing": bearing,
    "in the middle": in_the_middle,
    "at the end": at_the_end,
    "awaiting": awaiting,
}
HELD_AT = {
    "bear": ("child.born", "finish.moved"), "cancel": ("descend.begins", "cancel.moved"), "bar": ("bar.placed",),
    "cancel one": ("cancel.moved",), "cancel child": ("descend.begins", "cancel.moved"), "reap": ("reap.read",),
    "end": ("wake.moved", "finish.moved"), "archive": ("archive.read",), "start": ("start.moved",),
    "reschedule": ("reschedule.moved",), "sweep": ("sweep.moved",),
}  # fmt: skip
MET = {
    "bearing": ("bear", "cancel", "cancel one", "reap", "bar"),
    "in the middle": ("bear", "cancel", "cancel child", "reap", "bar"),
    "at the end": ("bear", "cancel", "cancel child", "reap", "bar"),
    "awaiting": ("end", "cancel", "cancel child", "reap", "archive", "start", "reschedule", "bar"),
}


def check_trees() -> None:
    """No child outlives the cancel of a run above it, unless it had ended before; nobody waits for the dead."""
    for descent in Descent.objects.all():
        above = Run.objects.with_state().get(pk=descent.ancestor_id)
        below = Run.objects.with_state().get(pk=descent.run_id)
        if above.public_status == "cancelled" and below.public_status not in ("completed", "failed"):
            assert below.public_status == "cancelled", f"{below} escaped the cancel of {above}"
    for live in LiveRun.objects.filter(state="waiting", awaits__isnull=False):
        child = Run.objects.with_state().get(pk=live.awaits)
        assert child.status is None, f"{live} waits for a run that has ended"
    born = list(Run.objects.exclude(parent=None).values_list("parent", flat=True))
    assert len(born) == len(set(born)), "a step bore two children"


@contextmanager
def told(situation: str, *names: str) -> Iterator[tuple[History, list[Transition]]]:
    """That situation and these of its transitions; afterwards every promise is checked."""
    history = History()
    known = SITUATIONS[situation](history)
    try:
        yield history, [known[name] for name in names]
        check_invariants(history)
        check_trees()
        check_ends(history)
        check_trees()
    except AssertionError as error:
        error.add_note(f"{' and '.join(names)} while a family is {situation}")
        raise
    finally:
        clear()


@pytest.mark.parametrize("situation", MET)
def test_a_cancel_held_in_its_transaction_and_what_meets_it(situation: str) -> None:
    for other in MET[situation]:
        for first, second in {("cancel", other), (other, "cancel")}:
            with told(situation, first, second) as (_, (one, two)):
                overlap(one, two, at=HELD_AT[first][0], always=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("situation", "first"), [(situation, first) for situation, met in MET.items() for first in met]
)
def test_one_held_in_its_transaction_meets_each_of_the_others(situation: str, first: str) -> None:
    for second in MET[situation]:
        with told(situation, first, second) as (_, (one, other)):
            overlap(one, other, at=HELD_AT[first][0], always=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("situation", "first"), [(situation, first) for situation, met in MET.items() for first in met]
)
def test_one_held_at_the_end_of_its_transaction_meets_each_of_the_others(situation: str, first: str) -> None:
    for second in MET[situation]:
        with told(situation, first, second) as (_, (one, other)):
            overlap(one, other, at=HELD_AT[first][-1], always=False)


@pytest.mark.slow
@pytest.mark.parametrize("situation", MET)
def test_what_meets_a_family_under_a_bar(situation: str) -> None:
    for name in MET[situation]:
        with told(situation, "bar", name, "sweep") as (_, (bar, one, sweep)):
            bar()
            overlap(sweep, one, at="sweep.moved", always=False)
        with told(situation, "bar", name, "sweep") as (_, (bar, one, sweep)):
            bar()
            overlap(one, sweep, at=HELD_AT[name][0], always=False)


@pytest.mark.slow
@pytest.mark.parametrize("situation", MET)
def test_three_at_the_same_moment(situation: str) -> None:
    for first in MET[situation]:
        for second in MET[situation]:
            with told(situation, first, "cancel", second) as (_, all_of_them):
                together(all_of_them)


# -- the orders that the protocol names ----------------------------------------------------------------------


def test_a_child_born_while_the_cancel_waits_for_its_parent_is_found() -> None:
    history = History()
    known = bearing(history)
    _, receipt = overlap(known["bear"], known["cancel"], at="child.born")
    assert (receipt.cancelled, Run.objects.count()) == (2, 2)
    assert set(LiveRun.objects.values_list("state", flat=True)) == {"cancelled"}
    clear()


def test_a_grandchild_born_while_the_cancel_waits_for_the_child_is_found() -> None:
    history = History()
    known = in_the_middle(history)
    _, receipt = overlap(known["bear"], known["cancel"], at="child.born")
    assert (receipt.cancelled, Run.objects.count()) == (3, 3)
    assert set(LiveRun.objects.values_list("state", flat=True)) == {"cancelled"}
    clear()


def test_a_grandchild_born_with_the_end_of_its_parent_while_the_cancel_waits_for_that_is_found() -> None:
    history = History()
    known = at_the_end(history)
    _, receipt = overlap(known["bear"], known["cancel"], at="child.born")
    statuses = Run.objects.with_state().order_by("pk")
    assert receipt.cancelled == 2
    assert [run.public_status for run in statuses] == ["cancelled", "completed", "cancelled"]
    clear()


def test_a_grandchild_born_between_the_cancels_statements_is_found() -> None:
    history = History()
    known = in_the_middle(history)
    receipt, _ = overlap(known["cancel"], known["bear"], at="descend.begins")
    assert receipt.cancelled == Run.objects.count()
    assert set(LiveRun.objects.exclude(state="cancelling").values_list("state", flat=True)) == {"cancelled"}
    clear()


def test_a_cancelled_parent_bears_no_child() -> None:
    history = History()
    known = bearing(history)
    overlap(known["cancel"], known["bear"], at="cancel.moved")
    assert Run.objects.count() == 1
    clear()


def test_the_end_of_a_child_waits_for_the_cancel_of_its_parent_and_not_the_other_way_round() -> None:
    history = History()
    known = awaiting(history)
    with held(known["cancel"], at="descend.begins") as cancel:
        end = cancel.meanwhile(known["end"])
    assert cancel.result().cancelled == 2
    end.result()
    assert Event.objects.filter(kind="child_ended").count() == 0
    check_ends(history)
    clear()


@rounds(6)
def test_two_crossing_cancels_of_one_tree() -> None:
    history = History()
    history.invoke(INVOKE, DELAY, SEND, token="t")
    while tasks := history.start():
        history.finish(*[execution.perform(task) for task in tasks])
    assert Run.objects.count() == 3
    receipts = together([lambda: history.cancel(token="t"), lambda: history.cancel(token="c")])
    assert sum(receipt.cancelled for receipt in receipts) == 3
    check_trees()
    check_ends(history)


@rounds(6)
def test_the_end_of_a_child_against_the_cancel_of_its_parent() -> None:
    history = History()
    known = awaiting(history)
    together([known["end"], known["cancel"]])
    check_trees()
    check_ends(history)


@pytest.mark.parametrize(("situation", "verb"), [("bearing", "bear"), ("awaiting", "end")])
def test_a_transition_cut_off_at_any_statement_leaves_all_or_nothing(situation: str, verb: str) -> None:
    for number in range(MOST_STATEMENTS):
        cut = False
        with told(situation, verb) as (_, (transition,)):
            with broken_off(before=number):
                try:
                    transition()
                except OperationalError:
                    cut = True
            check_trees()
        if not cut:
            assert number > 2
            return
    raise AssertionError(f"{verb} takes more than {MOST_STATEMENTS} statements")
