"""The checker knows what a hold catches, and what an undo lets go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.made import CHANGED, MISREPORTED, UNLISTED, Made

pytestmark = pytest.mark.pure

PASSED = "runs that passed a hold"
WRONGLY = "runs held wrongly"


def holding(**changed: Any) -> Made:
    """The same, and the cancel holds until 5: a run `h` was invoked under it at 2.5."""
    made = Made()
    made.history[-1] |= {"until": 5.0}
    made.history += [
        made.entry(2.5, "invoke", "begin", op=4),
        made.entry(2.6, "invoke", "ack", op=4, runs=[{"id": "h"}]),
    ]
    made.cancellations[0] |= {"as_of": 1.9, "until": 5.0, "filter": {"token": "t"}}
    for run, created in zip(made.runs, (1.0, 1.2), strict=True):
        run |= {"created": created, "reason": ""}
    made.runs.append({
        "id": "h", "token": "t", "key": None, "source": "chaos/send", "status": "cancelled", "created": 2.55,
        "reason": "held_by_cancellation", "finished": 2.55, "cancellation": "c", "live": None, **changed,
    })  # fmt: skip
    return made


def test_a_run_that_was_held_is_right() -> None:
    assert holding().found() == []


def test_a_run_that_passed_a_hold() -> None:
    passed = {"status": "completed", "reason": "", "cancellation": None, "finished": 3.0}
    assert holding(**passed).found() == [PASSED]
    assert holding(**passed, created=5.01).found() == []  # it was over
    assert holding(**passed, token="u").found() == []


def test_a_held_run_that_had_an_effect() -> None:
    made = holding()
    made.receipts.append(made.receipt(2.7, run="h"))
    assert made.found() == [PASSED, WRONGLY]


@pytest.mark.parametrize("changed", [{"created": 5.01}, {"created": 1.8}, {"token": "u"}])
def test_a_run_held_by_what_did_not_hold_it(changed: dict[str, Any]) -> None:
    assert holding(**changed).found() == [WRONGLY]


def undone(made: Made, *, under_way: bool = False) -> None:
    """The cancel at 2 is undone at 4; by then the step in flight has ended, unless it is under way."""
    made.history += [
        made.entry(4.0, "undo", "begin", op=4, cancellation="c"),
        made.entry(4.1, "undo", "ack", op=4, cancellation="c"),
    ]
    made.cancellations[0]["undone"] = True
    made.runs[0] |= {"status": "completed", "finished": 5.0, "cancellation": None}
    back = ["cancelling", "running"] if under_way else ["cancelling", "cancelled", "waiting", "running"]
    made.audit = [
        *made.path("r", None, "waiting", "running", *back, None),
        *made.path("q", None, "waiting", "running", "waiting", "running", None),
        *made.path("r", None, "completed", table="run"),
    ]


REPEATED = "steps in flight at a cancel, repeated after its undo"


def test_what_was_undone_may_go_on() -> None:
    made = Made()
    undone(made)
    made.receipts.append(made.receipt(4.5, step="s2"))
    assert made.found() == []


def test_what_was_undone_may_not_go_on_before() -> None:
    made = Made()
    undone(made)
    made.receipts.append(made.receipt(3.9, step="s2"))
    assert made.found() == [UNLISTED]


def test_an_undo_that_did_not_happen_allows_nothing() -> None:
    made = Made()
    made.history.append(made.entry(4.0, "undo", "begin", op=4, cancellation="c"))
    made.receipts.append(made.receipt(4.5, step="s2"))
    assert made.found() == [UNLISTED]


@pytest.mark.parametrize(("under_way", "found"), [(False, [REPEATED]), (True, [])])
def test_a_step_in_flight_is_not_repeated_unless_it_was_under_way(under_way: bool, found: list[str]) -> None:
    made = Made()
    undone(made, under_way=under_way)
    made.receipts.append(made.receipt(4.5, attempt=2))
    assert made.found() == found


def test_an_archived_run_is_born_again_by_an_undo_alone() -> None:
    made = Made()
    undone(made)
    made.audit = [
        *made.path(
            "r", None, "waiting", "running", "cancelling", "cancelled", None, "waiting", "running", None
        ),
        *made.path("r", None, "cancelled", None, "completed", table="run"),
        *made.path("q", None, "waiting", "running", "waiting", "running", None),
    ]
    assert made.found() == []
    made.cancellations[0]["undone"] = False
    assert CHANGED in made.found()


def test_a_run_is_not_left_under_a_cancel_that_was_undone() -> None:
    made = Made()
    undone(made)
    made.runs[0] |= {"status": "cancelled", "cancellation": "c"}
    assert made.found() == [MISREPORTED]


def test_what_an_undo_lets_go_may_fall_to_a_bar_that_stood_over_it() -> None:
    made = Made()
    undone(made)
    made.runs[0] |= {"status": "cancelled", "cancellation": "b"}
    made.cancellations.append({"id": "b", "actor": "key/chaos", "runs": [], "in_flight": [], "bar": True})
    assert made.found() == []
    made.cancellations[1]["bar"] = False
    assert made.found() == [MISREPORTED]
