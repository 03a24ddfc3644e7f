"""The checker finds each fault in a history made by hand, and none in a good one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.checker import check
from tests.chaos.evidence import Evidence
from tests.chaos.families import misborn
from tests.chaos.made import CHANGED, HELD, LOST, MISREPORTED, MISSED, SETTLED, UNLISTED, Made

pytestmark = pytest.mark.pure


def test_a_good_history_has_no_fault() -> None:
    assert Made().found() == []


def test_a_listed_effect_may_land_after_the_acknowledgement() -> None:
    made = Made()
    made.receipts.append(made.receipt(2.1))
    assert made.found() == []


@pytest.mark.parametrize("other", [{"attempt": 2}, {"step": "s2"}])
def test_an_effect_that_was_not_listed(other: dict[str, Any]) -> None:
    made = Made()
    made.receipts.append(made.receipt(2.001, **other))
    assert made.found() == [UNLISTED]


def test_an_effect_after_a_settled_acknowledgement_though_listed() -> None:
    made = Made()
    made.history[-1]["settled"] = True
    made.receipts.append(made.receipt(2.1))
    assert made.found() == [SETTLED]


def test_an_effect_past_the_deadline_counts_unless_its_process_was_frozen() -> None:
    made = Made()
    made.receipts.append(made.receipt(20.0, attempt=2, deadline=10.0))
    assert made.found() == [UNLISTED]
    made.history += [
        made.entry(9.0, "fault", "inject", kind="freeze a worker"),
        made.entry(19.0, "fault", "heal", kind="freeze a worker"),
    ]
    assert made.found() == []
    made.history[-1]["t"] = 9.5
    assert made.found() == [UNLISTED]


def test_a_cancel_step_is_an_acknowledgement_once_a_later_step_has_its_effect() -> None:
    made = Made()
    made.runs[1]["source"] = "chaos/send,cancel,send"
    made.cancellations[0]["actor"] = "run/q"
    made.history.pop()
    made.receipts.append(made.receipt(2.9, step="s2"))
    assert made.found() == []
    made.receipts[-1]["t"] = 3.1
    assert made.found() == [UNLISTED]


def test_a_cancel_step_in_the_head_is_an_acknowledgement_with_its_invoke() -> None:
    made = Made()
    made.runs[1]["source"] = "chaos/cancel,send"
    made.cancellations[0] |= {"actor": "run/q", "in_flight": [{"run": "r", "step": "s0", "attempt": 1}]}
    made.history.pop()
    made.receipts = [made.receipt(1.9)]
    assert made.found() == []
    made.receipts[0]["attempt"] = 2
    assert made.found() == [UNLISTED]


def test_a_bar_of_a_step_is_known_once_its_invoke_was_answered_at_the_first_try() -> None:
    made = Made()
    made.runs[1]["source"] = "chaos/cancel,send"
    made.cancellations[0] |= {"actor": "run/q", "bar": True}
    made.history.pop()
    made.receipts = [made.receipt(1.9)]
    assert made.found() == [UNLISTED]
    made.history.append(made.entry(1.25, "invoke", "unknown", op=2))
    assert made.found() == []


@pytest.mark.parametrize(
    "wrong", [{"status": None, "finished": None}, {"status": "waiting"}, {"live": "waiting"}]
)
def test_a_run_without_an_end(wrong: dict[str, Any]) -> None:
    made = Made()
    made.runs[1] |= wrong
    assert made.found() == [LOST]


def test_an_acknowledged_run_that_is_not_there() -> None:
    made = Made()
    del made.runs[1]
    assert made.found() == [LOST, "effects of unknown runs"]


@pytest.mark.parametrize(
    "path",
    [
        (None, "waiting", "running", "cancelling", "running", None),
        (None, "waiting", "cancelled", "waiting"),
        (None, "waiting", "cancelled", None, "waiting"),
        (None, "waiting", None),
    ],
)
def test_a_state_that_may_not_follow(path: tuple[str | None, ...]) -> None:
    made = Made()
    made.audit = made.path("r", *path)
    assert made.found() == [CHANGED]


def test_a_lost_update_between_two_states() -> None:
    made = Made()
    made.audit = [
        *made.path("q", None, "waiting", "running", "waiting"),
        *made.path("q", "running", "waiting"),
    ]
    assert made.found() == [CHANGED]


def test_a_status_written_twice() -> None:
    made = Made()
    made.audit += made.path("r", "cancelled", "completed", table="run")
    assert made.found() == [CHANGED]


def test_a_run_that_was_called_off_and_ended_otherwise() -> None:
    made = Made()
    made.audit += made.path("z", None, "waiting", "cancelled")
    made.runs.append({**made.runs[1], "id": "z"})
    assert made.found() == [CHANGED]


@pytest.mark.parametrize("reported", [[], ["r", "r"], ["r", "q"]])
def test_a_run_not_reported_by_exactly_one_cancellation(reported: list[str]) -> None:
    made = Made()
    made.cancellations[0]["runs"] = reported
    assert made.found() == [MISREPORTED]


def test_two_cancellations_that_report_one_run() -> None:
    made = Made()
    made.cancellations.append({"id": "d", "actor": "key/chaos", "runs": ["r"], "in_flight": []})
    assert made.found() == [MISREPORTED]


def test_an_acknowledgement_that_was_not_stored() -> None:
    made = Made()
    made.history[-1]["cancellation"] = "another"
    assert made.found() == [MISREPORTED]


def test_a_run_that_a_cancel_missed_and_one_it_should_have_left() -> None:
    made = Made()
    made.runs[1]["token"] = "t"
    assert made.found() == [MISSED]
    made.runs[1]["finished"] = 1.95
    assert made.found() == []
    made.runs[0]["token"] = "another"
    assert made.found() == ["runs cancelled that the filter does not match"]


@pytest.mark.parametrize("filter", [{"token": "k"}, {"key": "k"}, {"run": "q"}])
def test_filters_match_by_token_or_key_by_key_and_by_run(filter: dict[str, str]) -> None:
    made = Made()
    made.runs[0] |= {"key": "k", "id": "r"}
    made.history[-1] |= {"filter": filter, "runs": []}
    made.runs[0] |= {"status": "completed", "finished": 3.0, "cancellation": None}
    made.cancellations[0]["runs"] = []
    made.audit = []
    assert made.found() == [MISSED]


def test_a_run_invoked_while_the_cancel_was_under_way_may_go_on() -> None:
    made = Made()
    made.runs[1]["token"] = "t"
    made.history[3]["t"] = 1.85
    assert made.found() == []


def held(made: Made, *, named: list[Any]) -> Made:
    """Run q follows an automation that is held from 2.5 to 5."""
    made.runs[1]["automation"] = "held"
    made.history += [
        made.entry(2.4, "hold", "begin", op=8), made.entry(2.5, "hold", "ack", op=8, in_flight=named),
        made.entry(5.0, "enable", "begin", op=9), made.entry(5.1, "enable", "ack", op=9),
    ]  # fmt: skip
    return made


def test_an_effect_while_its_automation_was_held() -> None:
    assert held(Made(), named=[]).found() == [HELD]
    assert held(Made(), named=[["q", "s2", 1]]).found() == []
    assert held(Made(), named=[["q", "s2", 2]]).found() == [HELD]
    before, after, other = (held(Made(), named=[]) for _ in range(3))
    before.receipts[-1]["t"], after.receipts[-1]["t"] = 2.45, 5.05
    other.runs[1]["automation"] = "another"
    assert [made.found() for made in (before, after, other)] == [[], [], []]


def test_a_hold_soon_after_an_enabling_of_unknown_outcome_is_not_judged() -> None:
    made = held(Made(), named=[])
    made.history.append(made.entry(2.0, "enable", "unknown", op=7))
    assert made.found() == []
    made.history[-1]["t"] = 2.6
    assert made.found() == [HELD]


def test_another_idempotency_key() -> None:
    made = Made()
    made.receipts[1]["key"] = "q:s0:1"
    assert made.found() == ["duplicates with another idempotency key"]


@pytest.mark.parametrize("steps", [["s2", "s0"], ["s2"]])
def test_steps_out_of_order(steps: list[str]) -> None:
    made = Made()
    made.receipts[1:] = [made.receipt(1.5 + n / 10, run="q", step=step) for n, step in enumerate(steps)]
    assert made.found() == ["steps out of order"]


def test_an_attempt_may_send_twice_and_no_more() -> None:
    made = Made()
    made.receipts.append(made.receipt(1.95))
    assert made.found() == []
    made.receipts.append(made.receipt(1.96))
    assert made.found() == ["attempts that sent more than twice"]


def test_a_refused_request() -> None:
    made = Made()
    made.history.append(made.entry(2.5, "invoke", "refused", op=9, status=422))
    assert made.found() == ["requests refused"]


def with_child(*, cancelled: bool) -> Made:
    """The cancelled run had started another one, which was called off with it, or was not."""
    made = Made()
    made.runs[0]["source"] = "chaos/send,invoke,send"
    child = {"id": "k", "token": None, "key": None, "source": "run/r", "parent": "r", "live": None}
    ended = {"status": "cancelled", "finished": 2.0, "cancellation": "c"}
    made.runs.append(child | (ended if cancelled else ended | {"status": "completed", "cancellation": None}))
    states = ["waiting", "cancelled", None] if cancelled else ["waiting", "running", None]
    made.audit += made.path("k", None, *states)
    if cancelled:
        made.cancellations[0]["runs"] = made.history[-1]["runs"] = ["r", "k"]
    return made


def test_a_child_is_called_off_with_its_parent_whatever_the_filter() -> None:
    assert with_child(cancelled=True).found() == []


def test_a_child_that_escaped_the_cancel_of_its_parent() -> None:
    made = with_child(cancelled=False)
    assert made.found() == []
    made.receipts.append(made.receipt(2.5, run="k", step="s1"))
    assert made.found() == [UNLISTED]


def test_children_that_were_not_born_once() -> None:
    made = with_child(cancelled=True)
    made.runs[0]["source"] = "chaos/send,delay,send"
    assert made.found() == ["children not born once"]
    made = Made()
    made.runs[1]["source"] = "chaos/send,await,send"
    assert made.found() == ["children not born once"]
    assert list(misborn(made.runs, let_go={made.runs[1]["id"]})) == []


def test_the_figures() -> None:
    made = Made()
    made.receipts.append(made.receipt(1.95))
    made.receipts.append(made.receipt(2.05))
    made.history += [
        made.entry(0.2, "fault", "inject", kind="kill -9 a worker"),
        made.entry(0.4, "fault", "heal", kind="kill -9 a worker"),
        made.entry(0.9, "fault", "heal", kind="kill -9 a worker"),
    ]
    evidence = Evidence(
        history=made.history, receipts=made.receipts, runs=made.runs, cancellations=made.cancellations,
        audit=made.audit,
    )  # fmt: skip
    figures = check(evidence).figures
    assert figures["faults"] == {"kill -9 a worker": 1}
    assert figures["statuses"] == {"cancelled": 1, "completed": 1}
    assert (figures["effects"], figures["duplicates with the same key"]) == (3, 2)
    assert figures["effects after an acknowledged cancel, listed"] == 1
    assert figures["in-flight lists not empty, %"] == 100.0
    assert figures["recovery, s"]["all"] == {"p50": 0.35, "p99": 0.595, "max": 0.6}
    assert figures["recovery, s"]["kill -9 a worker"] == figures["recovery, s"]["all"]
