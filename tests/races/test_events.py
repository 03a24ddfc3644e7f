"""Events and superseding runs against invokes, starts, cancels and one another: each order has one outcome."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import connection

from automations import execution, publication
from automations import occurrence as verb
from automations.execution import Accepted
from automations.models import Cancellation, LiveRun, Occurrence, Refusal, Run
from automations.occurrence import ReportRequest, reporting
from tests.races.held import held, overlap
from tests.races.sink import Sink
from tests.races.together import rounds, together
from tests.scenes import (
    DELAY,
    SEND,
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


def listening(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"cancel_on": [{"event": "paid"}], "steps": list(steps or (DELAY, SEND))}


def report(**given: Any) -> Occurrence:
    return verb.report(ReportRequest(environment=production(), name="paid", actor="key/test", **given))[0]


def supersede(policy: str = "cancel_previous", *steps: dict[str, Any], **given: Any) -> Accepted:
    definition = {
        "concurrency": {"key": "refs.data.user_id", "policy": policy},
        "steps": list(steps or (DELAY,)),
    }
    return invoke(definition=definition, **given)


def refused_or(function: Any) -> Any:
    """What it returns, or the code with which it refuses."""
    try:
        return function()
    except Refusal as refusal:
        return refusal.code


# -- events ---------------------------------------------------------------------------------------------


def test_an_event_waits_for_an_invoke_that_is_half_way_and_concerns_its_runs() -> None:
    """The run's commit is its acceptance, and it may be answered before the event is: it is not overlooked."""
    publish("cart", listening())
    accepted, occurrence = overlap(lambda: invoke(automation="cart"), report, at="gate.passed")
    assert (status(run_of(accepted)), occurrence.cancelled) == ("cancelled", 1)


def test_a_run_accepted_once_the_event_has_its_place_lives() -> None:
    """The order rule: never a later one, although it is there when the event's cancels are made."""
    publish("cart", listening())
    before = run_of(invoke(automation="cart"))
    with held(report, at="event.placed") as reporting_:
        late = reporting_.meanwhile(lambda: invoke(automation="cart"))
    assert (status(before), status(run_of(late.result()))) == ("cancelled", "waiting")
    assert reporting_.result().cancelled == 1


@pytest.mark.parametrize("at", ["event.placed", "event.judged"])
def test_a_run_started_while_its_rule_is_judged_is_cancelled_with_its_step_listed(
    at: str, sink: Sink
) -> None:
    run = run_of(invoke(definition=listening(SEND, SEND)))
    with held(report, at=at) as worker:
        (task,) = worker.meanwhile(start).result()
    receipt = Cancellation.objects.get()
    assert [(entry["run"], entry["step"]) for entry in receipt.in_flight] == [(str(run.uid), "0")]
    finish(execution.perform(task))
    assert (work_off(), status(run), sink.keys) == (0, "cancelled", [f"{run.uid}:0"])


def test_a_run_that_ends_while_its_rule_is_judged_is_not_cancelled() -> None:
    run = run_of(invoke(definition=listening(SEND)))
    with held(report, at="event.judged") as worker:
        worker.meanwhile(work_off).result()
    assert (status(run), worker.result().cancelled) == ("completed", 0)
    assert Cancellation.objects.get().already_finished == 1


def test_a_run_cancelled_while_its_rule_is_judged_is_reported_once() -> None:
    run = run_of(invoke(definition=listening(), key="k"))
    with held(report, at="event.judged") as worker:
        receipt = worker.meanwhile(lambda: cancel_runs(key="k")).result()
    assert (receipt.cancelled, worker.result().cancelled, status(run)) == (1, 0, "cancelled")
    assert read(run).called_off_by == receipt


def test_of_two_events_at_once_one_reports_each_run() -> None:
    runs = [run_of(invoke(definition=listening())) for _ in range(3)]
    one, other = overlap(report, report, at="cancel.moved")
    assert (one.cancelled, other.cancelled) == (3, 0)
    assert [status(run) for run in runs] == ["cancelled"] * 3


@pytest.mark.parametrize("at", ["event.placed", "event.judged", "event.moved"])
def test_the_same_event_twice_at_once_is_one_event(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second carries on with the first one's record; neither answers before every run is cancelled."""
    monkeypatch.setattr(reporting, "CALLED_OFF_AT_ONCE", 1)
    runs = [run_of(invoke(definition=listening())) for _ in range(3)]

    def again() -> tuple[Occurrence, list[str]]:
        occurrence = report(idempotency_key="k", fingerprint="f")
        return occurrence, [status(run) for run in runs]

    (one, seen), (other, seen_by_other) = overlap(again, again, at=at)
    assert seen == seen_by_other == ["cancelled"] * 3
    assert (one.pk, Occurrence.objects.get().cancelled) == (other.pk, 3)


@rounds(6)
def test_events_racing_invokes_and_starts() -> None:
    publish_once("cart", listening(SEND, SEND))
    before = [run_of(invoke(automation="cart")) for _ in range(4)]
    results = together([report, report, lambda: invoke(automation="cart"), start])
    told = results[0].cancelled + results[1].cancelled
    assert [status(run) for run in before] == ["cancelled"] * 4
    (late,) = [run_of(results[2])]
    assert told == 4 + (status(late) == "cancelled")
    listed = {entry["run"] for row in Cancellation.objects.all() for entry in row.in_flight}
    assert {str(run.uid) for run in before} & {task.run for task in results[3]} <= listed


# -- concurrency ----------------------------------------------------------------------------------------


def publish_once(key: str, definition: dict[str, Any]) -> None:
    """As an automation, unless an earlier round has published it."""
    try:
        publish(key, definition)
    except Refusal:
        publication.publish(environment=production(), key=key, by="test")


def test_of_two_invokes_that_supersede_the_second_waits_and_leaves_one() -> None:
    """Each would miss the other's run, which is not committed yet, and both would live."""
    one, other = overlap(supersede, supersede, at="gate.passed")
    first, second = run_of(one), run_of(other)
    assert sorted([status(first), status(second)]) == ["cancelled", "waiting"]
    assert Cancellation.objects.get().cancelled == 1


def test_of_two_invokes_one_held_behind_its_lock_the_first_is_superseded() -> None:
    supersede()
    one, other = overlap(supersede, supersede, at="cancel.moved")
    assert [status(run_of(one)), status(run_of(other))] == ["cancelled", "waiting"]
    assert LiveRun.objects.filter(state="waiting").count() == 1


def test_of_two_invokes_that_reject_one_is_refused_with_the_other_s_run() -> None:
    def ask() -> Any:
        return refused_or(partial(supersede, "reject_new"))

    one, other = overlap(ask, ask, at="gate.passed")
    (accepted,) = [answer for answer in (one, other) if answer != "already_running"]
    assert Run.objects.count() == 1
    assert status(run_of(accepted)) == "waiting"


def test_a_run_started_while_another_supersedes_it_is_on_the_receipt(sink: Sink) -> None:
    first = run_of(supersede("cancel_previous", SEND, SEND))
    with held(lambda: supersede("cancel_previous", SEND, SEND), at="invoke.prepared") as worker:
        (task,) = worker.meanwhile(start).result()
    receipt = Cancellation.objects.get()
    assert [entry["run"] for entry in receipt.in_flight] == [str(first.uid)]
    finish(execution.perform(task))
    assert (work_off(), status(first), f"{first.uid}:1" in sink.keys) == (2, "cancelled", False)


@pytest.mark.parametrize("policy", ["cancel_previous", "reject_new"])
def test_a_run_that_ends_first_stands_in_nobody_s_way(policy: str) -> None:
    first = run_of(supersede(policy, SEND))
    (task,) = start()
    done = execution.perform(task)
    _, accepted = overlap(
        lambda: finish(done), lambda: refused_or(partial(supersede, policy)), at="finish.moved"
    )
    if accepted == "already_running":  # its commit came second: PostgreSQL's readers wait for nobody
        assert connection.vendor == "postgresql"
        assert status(run_of(supersede(policy))) == "waiting"
    else:
        assert status(run_of(accepted)) == "waiting"
    assert status(first) == "completed"


@rounds(8)
def test_any_number_of_superseding_invokes_leave_exactly_one() -> None:
    answers = together([supersede] * 5)
    states = [status(run_of(answer)) for answer in answers]
    assert sorted(states) == ["cancelled"] * 4 + ["waiting"]
    reported = [uid for row in Cancellation.objects.all() for uid in row.cancelled_run_ids]
    assert sorted(reported) == sorted(
        answer.runs[0]["id"] for answer, state in zip(answers, states, strict=True) if state == "cancelled"
    )


@rounds(8)
def test_any_number_of_rejecting_invokes_leave_exactly_one() -> None:
    answers = together([lambda: refused_or(partial(supersede, "reject_new"))] * 5)
    assert sum(answer == "already_running" for answer in answers) == 4
    assert LiveRun.objects.count() == Run.objects.count() == 1


@rounds(8)
def test_crossing_invokes_of_many_keys_leave_one_run_of_each() -> None:
    names = [f"r{n}" for n in range(8)]
    definition = {"concurrency": {"key": "refs.recipient", "policy": "cancel_previous"}, "steps": [DELAY]}
    together([
        partial(invoke, definition=definition, recipients=order)
        for order in (names, names[::-1], names[4:] + names[:4], names[::2])
    ])  # fmt: skip
    waiting = LiveRun.objects.filter(state="waiting").values_list("recipient", flat=True)
    assert sorted(map(str, waiting)) == names
