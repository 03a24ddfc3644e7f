"""Ends, failures and retries against cancels: the order of two commits decides, and both answers say which."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import connection

from automations import execution, publication
from automations.api.native.receipts import followed_receipt
from automations.execution import housekeeping
from automations.models import Cancellation, LiveRun, Refusal, Run, database_now, steps_of_run
from tests.races.held import held, overlap
from tests.races.history import failed, pass_time
from tests.races.sink import Sink
from tests.races.together import clear, together
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    finish,
    invoke,
    make_due,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def test_a_run_cancelled_while_it_waits_for_its_next_try_is_not_tried_again(sink: Sink) -> None:
    """T06, hatchet-dev/hatchet#4900: neither its retry nor the step after it."""
    run = run_of(invoke(SEND, SEND, token="t"))
    sink.refuses = True
    assert (work_off(), status(run)) == (1, "waiting")
    make_due(run)
    receipt = cancel_runs(token="t")
    assert (receipt.cancelled, receipt.in_flight) == (1, [])
    assert (work_off(), sink.keys, status(run)) == (0, [f"{run.uid}:0"], "cancelled")


@pytest.mark.parametrize("at", ["effect.ended", "finish.begins"])
def test_a_cancel_between_a_failure_and_its_record_leaves_no_retry(at: str, sink: Sink) -> None:
    """T07, hazelcast/hazelcast-jet#1470: the attempt has failed retryably, and is on the acknowledgement."""
    run = run_of(invoke(SEND, SEND, token="t"))
    sink.refuses = True
    (task,) = start()
    with held(lambda: finish(execution.perform(task)), at=at):
        receipt = cancel_runs(token="t")
        assert (status(run), read(run).is_settling) == ("cancelled", True)
    assert [(entry["step"], entry["attempt"]) for entry in receipt.in_flight] == [("0", 1)]
    assert (status(run), read(run).is_settling, start()) == ("cancelled", False, [])
    assert [step.outcome_after_cancel for step in steps_of_run(read(run))] == ["failed_after_cancel", None]


def outcomes(run: Run, receipt: Cancellation) -> tuple[list[str | None], list[str | None]]:
    """What the receipt says became of its steps in flight, and what the run says of its own."""
    said = followed_receipt(Cancellation.objects.get(pk=receipt.pk))
    assert said["settled"]
    states = [step.outcome_after_cancel for step in steps_of_run(read(run))]
    return [entry["outcome"] for entry in said["in_flight"] if entry["run"] == str(run.uid)], states


def test_a_step_that_ends_before_a_cancel_whose_clock_is_older_did_not_end_after_it(sink: Sink) -> None:
    """The cancel has read its clock and waits; the step's end is committed, and the cancel does not list it."""
    run = run_of(invoke(SEND, DELAY, token="t"))
    done = execution.perform(*start())
    with held(partial(cancel_runs, token="t"), at="gate.passed") as cancelling:
        cancelling.meanwhile(partial(finish, done))
    receipt = cancelling.result()
    archive_all()
    # On SQLite the end waits for the cancel.
    after: list[str | None] = ["completed_after_cancel"] if receipt.in_flight else []
    assert outcomes(run, receipt) == (after, [*(after or [None]), None])
    assert bool(after) is (connection.vendor == "sqlite")


def test_a_listed_step_whose_end_has_an_older_clock_than_the_cancel_is_told(sink: Sink) -> None:
    """The end has read its clock and waits; the cancel lists the step, which then ends as completed."""
    first, run = (run_of(invoke(SEND, DELAY, token=token)) for token in ("a", "t"))
    done = [execution.perform(task) for task in start()]
    cancel_runs(token="a")  # the two ends are looked at one by one
    with held(lambda: finish(*done), at="gate.passed") as finishing:
        finishing.go_on(to="gate.passed")
        cancelling = finishing.meanwhile(partial(cancel_runs, token="t"))
    receipt = cancelling.result()
    archive_all()
    after: list[str | None] = ["completed_after_cancel"] if receipt.in_flight else []
    assert outcomes(run, receipt) == (after, [*(after or [None]), None])
    assert bool(after) is (connection.vendor == "postgresql")
    assert status(first) == "cancelled"


def test_a_run_cancelled_during_its_first_of_several_tries_is_tried_no_more(sink: Sink) -> None:
    """T08, rq/rq#1408: the attempts that are left do not count against the cancel."""
    step = {**SEND, "retry": {"max_attempts": 4, "interval": "1 second"}}
    run = run_of(invoke(step, token="t"))
    sink.refuses = True
    with held(work_off, at="effect.sends"):
        cancel_runs(token="t")
    archive_all()
    assert (work_off(), len(sink.keys), status(run)) == (0, 1, "cancelled")


def test_a_cancel_in_the_gap_between_two_steps_lets_the_second_not_start(sink: Sink) -> None:
    """T10, triggerdotdev/trigger.dev#888: the first is written back, the second not started yet."""
    run = run_of(invoke(SEND, SEND, token="t"))
    (task,) = start()
    with held(lambda: finish(execution.perform(task)), at="finish.committed"):
        receipt = cancel_runs(token="t")
    assert (receipt.cancelled, receipt.in_flight) == (1, [])
    assert (start(), sink.keys, status(run)) == ([], [f"{run.uid}:0"], "cancelled")


def test_a_turn_that_ends_one_step_and_starts_the_next_leaves_no_gap(sink: Sink) -> None:
    """T10: in one transaction; the cancel waits for it, and lists the second step."""
    run = run_of(invoke(SEND, SEND, token="t"))
    (task,) = start()
    done = execution.perform(task)
    (following,), receipt = overlap(
        lambda: finish(done, room=1), lambda: cancel_runs(token="t"), at="finish.moved"
    )
    assert [(entry["step"], entry["fence"]) for entry in receipt.in_flight] == [("1", 2)]
    finish(execution.perform(following))
    assert (status(run), read(run).is_settling, len(sink.keys)) == ("cancelled", False, 2)


def test_a_failure_recorded_before_the_cancel_leaves_a_retry_for_the_cancel_to_take() -> None:
    """T13, riverqueue/river#141: the cancel waits for the commit of the other, and finds the run waiting."""
    run = run_of(invoke(SEND, token="t"))
    (task,) = start()
    done = failed(task, retryable=True)
    _, receipt = overlap(lambda: finish(done), lambda: cancel_runs(token="t"), at="finish.moved")
    assert (receipt.cancelled, receipt.in_flight, status(run)) == (1, [], "cancelled")
    kinds = list(run.events.values_list("kind", flat=True))
    assert kinds == ["invoked", "step_retried"]


def test_a_cancel_before_the_record_of_a_failure_takes_the_retry_away() -> None:
    """T13: the other order of the same two commits."""
    run = run_of(invoke(SEND, token="t"))
    (task,) = start()
    done = failed(task, retryable=True)
    receipt, _ = overlap(lambda: cancel_runs(token="t"), lambda: finish(done), at="cancel.moved")
    assert [entry["fence"] for entry in receipt.in_flight] == [1]
    assert (status(run), LiveRun.objects.get(pk=run.pk).state) == ("cancelled", "cancelled")
    assert list(run.events.values_list("kind", flat=True)) == ["invoked", "step_failed"]


@pytest.mark.parametrize("end", ["completed", "failed"])
@pytest.mark.parametrize("ends_first", [True, False])
def test_of_a_last_step_s_end_and_a_cancel_the_first_to_commit_wins(end: str, ends_first: bool) -> None:
    """T14, dbos-inc/dbos-transact-py#767: a run is reported as cancelled if, and only if, it was."""
    run = run_of(invoke(SEND, token="t"))
    (task,) = start()
    done = execution.perform(task) if end == "completed" else failed(task, retryable=False)
    if ends_first:
        _, receipt = overlap(lambda: finish(done), lambda: cancel_runs(token="t"), at="finish.moved")
        assert (status(run), receipt.cancelled, receipt.already_finished) == (end, 0, 1)
    else:
        receipt, _ = overlap(lambda: cancel_runs(token="t"), lambda: finish(done), at="cancel.moved")
        assert (status(run), receipt.cancelled, receipt.already_finished) == ("cancelled", 1, 0)


@pytest.mark.parametrize("is_running", [True, False])
def test_of_two_cancels_of_one_run_the_second_waits_and_reports_no_run(is_running: bool) -> None:
    """T17: the condition on the state is checked again after the wait. What is in flight both name."""
    run = run_of(invoke(SEND, SEND, token="t", key="k"))
    tasks = start() if is_running else []
    one, other = overlap(lambda: cancel_runs(token="t"), lambda: cancel_runs(key="k"), at="cancel.moved")
    assert (one.cancelled_run_ids, other.cancelled_run_ids) == ([str(run.uid)], [])
    assert (len(one.in_flight or ()), other.in_flight, other.already_finished) == (
        len(tasks),
        one.in_flight,
        1,
    )


def test_a_batch_of_ends_of_which_one_is_late_waits_for_the_cancel_of_another() -> None:
    """T14: what it has looked at, it holds until it has written."""
    lost, run = (run_of(invoke(SEND, DELAY, token=token)) for token in ("lost", "t"))
    done = [execution.perform(task) for task in start()]
    LiveRun.objects.filter(pk=lost.pk).update(lease_until=database_now())
    housekeeping.reap(production())
    inside = "cancel.moved" if connection.vendor == "postgresql" else "cancel.begins"
    with held(lambda: finish(*done), at="gate.passed") as finishing:
        if connection.vendor == "postgresql":
            finishing.go_on(to="gate.passed")  # one was taken back: now it looks at each
        with held(lambda: cancel_runs(token="t"), at=inside) as cancelling:
            finishing.go_as_far_as_it_can()
    in_flight = [entry["run"] for entry in cancelling.result().in_flight]
    assert in_flight == ([str(run.uid)] if connection.vendor == "postgresql" else [])
    assert (status(run), read(run).is_settling, status(lost)) == ("cancelled", False, "waiting")


@pytest.mark.slow
def test_in_a_thousand_races_of_an_end_and_a_cancel_exactly_one_wins() -> None:
    """T14, a thousand times over, without anybody being held."""
    won = {"completed": 0, "cancelled": 0}
    for _ in range(200):
        runs = [run_of(invoke(SEND, token="t", data={"user_id": str(n)})) for n in range(5)]
        done = [execution.perform(task) for task in start()]
        _, receipt = together([partial(finish, *done), lambda: cancel_runs(token="t")])
        statuses = {str(run.uid): status(run) for run in runs}
        assert {uid for uid, one in statuses.items() if one == "cancelled"} == set(receipt.cancelled_run_ids)
        for one in statuses.values():
            won[one] += 1
        clear()
    assert sum(won.values()) == 1000
    assert all(won.values()), won


def test_a_cancel_during_a_fan_out_covers_all_of_it_or_none_and_says_which() -> None:
    """T16, novuhq/novu#5050: the runs of all recipients are stored by one transaction."""
    recipients = [f"r{n}" for n in range(200)]
    accepted, receipt = overlap(
        lambda: invoke(DELAY, SEND, key="k", recipients=recipients),
        lambda: cancel_runs(key="k"),
        at="gate.passed",
    )
    acknowledged_first = connection.vendor == "postgresql"
    assert receipt.cancelled == (0 if acknowledged_first else 200)
    statuses = {status(run) for run in Run.objects.filter(invocation=accepted.invocation)}
    assert statuses == ({"waiting"} if acknowledged_first else {"cancelled"})


def test_a_cancel_racing_a_fan_out_covers_all_of_it_or_none() -> None:
    """T16, with nobody held: any number of cancels, one trigger."""
    for _ in range(8):
        receipts: list[Any] = together([
            lambda: invoke(DELAY, key="k", recipients=[f"r{n}" for n in range(100)]),
            lambda: cancel_runs(key="k"), lambda: cancel_runs(token="k"),
        ])[1:]  # fmt: skip
        reported = sorted(receipt.cancelled for receipt in receipts)
        cancelled = LiveRun.objects.filter(key="k", state="cancelled").count()
        assert (reported, cancelled) in [([0, 0], 0), ([0, 100], 100)]
        clear()


def test_the_number_on_the_acknowledgement_is_the_number_of_runs_moved() -> None:
    """T17, novuhq/novu#2937: it is counted by the statement that moves them."""
    runs = [run_of(invoke(step, key="k")) for step in (SEND, DELAY, SEND, DELAY)]
    work_off()
    receipt = cancel_runs(key="k")
    moved = [str(run.uid) for run in runs if status(run) == "cancelled"]
    assert (receipt.cancelled_run_ids, receipt.cancelled, len(moved)) == (moved, 2, 2)
    assert (receipt.already_finished, receipt.matched) == (2, 4)


def test_a_cancelled_run_is_cancelled_at_once_and_does_not_stay_on_the_way_there() -> None:
    """T21, PrefectHQ/prefect#18840: no status "cancelling" that somebody would have to end."""
    run = run_of(invoke(SEND, SEND, token="t"))
    start()
    cancel_runs(token="t")
    assert (status(run), read(run).is_settling) == ("cancelled", True)
    archive_all_in_time()
    assert (status(run), read(run).is_settling, read(run).status) == ("cancelled", False, "cancelled")


def archive_all_in_time() -> None:
    """Housekeeping, while leases and deadlines pass, of a run whose worker never answers."""
    for _ in range(3):
        pass_time()
        execution.keep_house(production())


@pytest.mark.parametrize("verb", ["finish", "archive"])
def test_a_reader_sees_a_run_before_its_end_or_after_it_and_never_in_between(verb: str) -> None:
    """T22, hatchet-dev/hatchet#1996: the live row goes and the status comes with one commit."""
    run = run_of(invoke(SEND, token="t"))
    if verb == "finish":
        done = [execution.perform(task) for task in start()]
        with held(lambda: finish(*done), at="finish.moved"):
            assert (status(run), LiveRun.objects.count()) == ("running", 1)
        assert (status(run), LiveRun.objects.count()) == ("completed", 0)
    else:
        cancel_runs(token="t")
        with held(archive_all, at="archive.read"):
            assert (status(run), LiveRun.objects.count()) == ("cancelled", 1)
        assert (status(run), LiveRun.objects.count()) == ("cancelled", 0)


def switch_off(word: str) -> None:
    """Disables or archives the automation."""
    place: dict[str, Any] = {"environment": production(), "key": "welcome", "by": "test"}
    if word == "archive":
        publication.archive(**place)
    else:
        publication.disable(**place)


@pytest.mark.parametrize(
    ("word", "refusal"), [("disable", "disabled"), ("archive", "there is no automation")]
)
def test_disabling_waits_for_an_invoke_that_has_read_the_automation_as_enabled(
    word: str, refusal: str
) -> None:
    """The gate: once an automation is disabled or archived, nothing invoked before appears any more."""
    publish("welcome", {"steps": [DELAY]})
    with held(lambda: invoke(automation="welcome", definition=None), at="gate.passed") as worker:
        disabling = worker.meanwhile(lambda: switch_off(word))
        assert not disabling.has_ended
    assert status(run_of(worker.result())) == "waiting"
    with pytest.raises(Refusal, match=refusal):
        invoke(automation="welcome", definition=None)


def test_an_invoke_that_cancels_the_previous_waits_for_one_that_does_the_same() -> None:
    """Each would miss the other's run, which is not committed yet, and both would live."""
    steps: list[dict[str, Any]] = [{"action": "cancel", "cancellation_token": "t"}, DELAY, SEND]
    one, other = overlap(
        lambda: invoke(*steps, token="t"), lambda: invoke(*steps, token="t"), at="cancel.moved"
    )
    assert [status(run_of(one)), status(run_of(other))] == ["cancelled", "waiting"]
