"""A hold against invokes: each run committed before it and is on its receipt, or was born under it; and cancel steps
that place holds and bars, against invokes and starts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from automations import cancellation, execution
from automations.execution import Accepted
from automations.execution.replay import ReplayRequest, replay
from automations.models import HELD, Cancellation, LiveRun, OnCancelStart, Run
from tests.races.held import held, overlap
from tests.races.together import rounds, together
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    finish,
    invoke,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
HOLD: dict[str, Any] = {"action": "cancel", "cancellation_token": "t", "hold_for": "1 hour"}
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "t"}


def place() -> Cancellation:
    return cancel_runs(hold_for=timedelta(hours=1), token="t")


def accept() -> Accepted:
    return invoke(SEND, token="t")


def hold_in_a_head() -> Cancellation:
    return Cancellation.objects.get(actor=f"run/{invoke(HOLD, DELAY, token='u').runs[0]['id']}")


def hold_later() -> Callable[[], Cancellation]:
    """The finish of a step that a cancel step follows."""
    run = run_of(invoke(SEND, HOLD, DELAY, token="u"))
    (task,) = start()
    done = execution.perform(task)

    def finished() -> Cancellation:
        finish(done)
        return Cancellation.objects.get(actor=f"run/{run.uid}")

    return finished


PLACES: dict[str, Callable[[], Callable[[], Cancellation]]] = {
    "a request": lambda: place, "a head": lambda: hold_in_a_head, "a later step": hold_later,
}  # fmt: skip


@pytest.mark.parametrize("by", PLACES)
def test_an_invoke_that_comes_second_sees_the_hold(by: str) -> None:
    receipt, accepted = overlap(PLACES[by](), accept, at="gate.passed")
    assert (run_of(accepted).reason, receipt.cancelled) == (HELD, 0)
    assert start() == []


@pytest.mark.parametrize("by", PLACES)
def test_an_invoke_that_was_first_is_hit_by_it(by: str) -> None:
    accepted, receipt = overlap(accept, PLACES[by](), at="gate.passed")
    run = run_of(accepted)
    assert (run.reason, receipt.cancelled_run_ids) == (receipt.status_reason, [str(run.uid)])
    assert accepted.runs[0]["status"] == "waiting"  # as it was then
    assert start() == []


def test_an_invoke_prepared_before_the_hold_and_committed_after_it_is_held() -> None:
    with held(accept, at="invoke.prepared") as worker:
        receipt = place()
    run = run_of(worker.result())
    assert (run.reason, run.called_off_by, receipt.cancelled) == (HELD, receipt, 0)


def test_a_hold_that_waits_for_an_invoke_is_over_what_comes_next() -> None:
    with held(accept, at="gate.passed") as worker:
        hold = worker.meanwhile(place)
        later = worker.meanwhile(accept)
    assert run_of(worker.result()).called_off_by == hold.result()
    # On PostgreSQL it waited behind the hold; on SQLite nobody says who of two writers is next.
    assert run_of(later.result()).called_off_by == hold.result()


@rounds(8)
def test_no_run_passes_between_hold_and_invokes() -> None:
    *accepted, receipt = together([accept, accept, accept, place])
    runs = [run_of(one) for one in accepted]
    assert {run.called_off_by for run in runs} == {receipt}
    reported = {uid for run in runs if run.reason != HELD for uid in [str(run.uid)]}
    assert reported == set(receipt.cancelled_run_ids)
    assert (start(), receipt.held().count()) == ([], 3 - len(reported))


@rounds(4)
def test_of_two_holds_one_has_each_run() -> None:
    *accepted, one, other = together([accept, accept, place, place])
    runs = [run_of(each) for each in accepted]
    assert {run.public_status for run in runs} == {"cancelled"}
    reported = sorted([*one.cancelled_run_ids, *other.cancelled_run_ids])
    assert reported == sorted(str(run.uid) for run in runs if run.reason != HELD)


def test_a_replay_and_what_follows_a_cancelled_run_meet_a_hold() -> None:
    publish("after", {"cancellation_token": "t", "steps": [SEND]})
    finished = run_of(invoke(SEND, token="t"))
    work_off()
    invoke(definition={"cancellation_token": "gone", "on_cancel": {"invoke": "after"}, "steps": [DELAY]})
    cancel_runs(token="gone")
    archive_all()
    asked = ReplayRequest(environment=production(), actor="a", run=read(finished))
    receipt, again = overlap(place, lambda: replay(asked), at="gate.passed")
    assert run_of(again).called_off_by == receipt
    execution.start_what_follows(most=10)
    follower = Run.objects.get(invocation__dialect="on_cancel")
    assert (follower.status_reason, OnCancelStart.objects.count()) == (HELD, 0)


def test_nothing_of_the_head_of_a_held_run_happens() -> None:
    spared = run_of(invoke(DELAY, token="u"))
    head = {"action": "cancel", "cancellation_token": "u"}
    _, accepted = overlap(place, lambda: invoke(head, SEND, token="t"), at="gate.passed")
    assert (status(run_of(accepted)), status(spared)) == ("cancelled", "waiting")
    assert Cancellation.objects.count() == 1


# -- bars that cancel steps place --------------------------------------------------------------------------


@pytest.fixture
def _every_cancel_of_two_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "AT_ONCE", 1)


def bar_in_a_head() -> Callable[[], Any]:
    return lambda: invoke(CANCEL, DELAY, token="u")


def bar_later() -> Callable[[], Any]:
    invoke(SEND, CANCEL, DELAY, token="u")
    task = next(task for task in start() if task.definition.steps[1].action == "cancel")
    done = execution.perform(task)
    return lambda: finish(done)


BARS = {"a head": bar_in_a_head, "a later step": bar_later}


@pytest.mark.usefixtures("_every_cancel_of_two_is_a_bar")
@pytest.mark.parametrize("by", BARS)
def test_a_start_that_was_first_is_listed_by_the_bar(by: str) -> None:
    place_bar = BARS[by]()
    runs = [run_of(invoke(SEND, token="t")) for _ in range(2)]
    tasks, _ = overlap(start, place_bar, at="start.moved")
    (receipt,) = Cancellation.objects.all()
    assert receipt.bar == "label:t"
    assert {entry["run"] for entry in receipt.in_flight or ()} == {task.run for task in tasks}
    assert len(tasks) == 2
    finish(*[execution.perform(task) for task in tasks])
    assert [status(run) for run in runs] == ["cancelled"] * 2


@pytest.mark.usefixtures("_every_cancel_of_two_is_a_bar")
@pytest.mark.parametrize("by", BARS)
def test_a_start_that_comes_second_to_the_bar_starts_none_of_its_runs(by: str) -> None:
    place_bar = BARS[by]()
    runs = [run_of(invoke(SEND, token="t")) for _ in range(2)]
    with held(place_bar, at="gate.passed") as worker:
        worker.go_on(to="gate.passed")  # it was counted behind the shared gate, and is now placed
        starting = worker.meanwhile(start)
    assert starting.result() == []
    assert [status(run) for run in runs] == ["cancelled"] * 2
    assert not LiveRun.objects.filter(state="running").exists()


@pytest.mark.usefixtures("_every_cancel_of_two_is_a_bar")
@pytest.mark.parametrize("by", BARS)
def test_a_bar_of_a_step_is_for_the_runs_accepted_before_it(by: str) -> None:
    place_bar = BARS[by]()
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(2)]
    with held(place_bar, at="gate.passed") as worker:
        worker.go_on(to="gate.passed")
        accepting = worker.meanwhile(accept)
    assert status(run_of(accepting.result())) == "waiting"
    assert [status(run) for run in runs] == ["cancelled"] * 2
    archive_all()
    assert status(run_of(accepting.result())) == "waiting"


@pytest.mark.usefixtures("_every_cancel_of_two_is_a_bar")
@pytest.mark.parametrize("by", BARS)
def test_an_invoke_that_was_first_is_under_the_bar(by: str) -> None:
    place_bar = BARS[by]()
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(2)]
    accepted, _ = overlap(accept, place_bar, at="gate.passed")
    assert [status(run) for run in (*runs, run_of(accepted))] == ["cancelled"] * 3


@pytest.mark.usefixtures("_every_cancel_of_two_is_a_bar")
@rounds(4)
def test_a_run_that_is_cancelled_meanwhile_places_no_bar() -> None:
    run = run_of(invoke(SEND, CANCEL, DELAY, token="u"))
    done = [execution.perform(task) for task in start()]
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(2)]
    receipt, _ = overlap(lambda: cancel_runs(run_pks=(run.pk,)), lambda: finish(*done), at="cancel.moved")
    assert (receipt.cancelled, Cancellation.objects.count()) == (1, 1)
    assert [status(one) for one in (run, *runs)] == ["cancelled", "waiting", "waiting"]


# -- cancel the previous by a filter, then start mine -------------------------------------------------------

FILTERS: dict[str, dict[str, Any]] = {
    "a label": {"token": "t"}, "a source": {"source": "api/test"}, "a recipient": {"recipients": ["ada"]},
}  # fmt: skip


@pytest.mark.parametrize("by", FILTERS)
def test_of_two_that_cancel_the_previous_one_is_left(by: str) -> None:
    def mine() -> Accepted:
        step = {"action": "cancel", "filter": FILTERS[by]}
        return invoke(step, DELAY, token="t" if by == "a label" else None, recipients=["ada"])

    one, other = overlap(mine, mine, at="cancel.moved")
    assert sorted(status(run_of(each)) for each in (one, other)) == ["cancelled", "waiting"]
    one, other = overlap(mine, mine, at="gate.passed")
    assert sorted(status(run_of(each)) for each in (one, other)) == ["cancelled", "waiting"]
