"""Starts against cancels at the moments that cost others a bug: nothing starts once a cancel is acknowledged."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from automations import execution
from automations.execution import Task
from automations.models import Environment, Event, LiveRun, Run, database_now
from tests.races.held import held, overlap
from tests.races.history import pass_time
from tests.races.sink import Sink
from tests.races.together import together
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    finish,
    invoke,
    make_due,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def other_done() -> execution.Done:
    """A performed step of some other run, which a worker has yet to write back."""
    invoke(SEND)
    (task,) = start()
    return execution.perform(task)


@pytest.mark.parametrize("amount", [1, 20])
def test_a_worker_about_to_start_runs_starts_none_that_were_cancelled_meanwhile(
    amount: int, sink: Sink
) -> None:
    """T01, dagster-io/dagster#3323, and T03, celery/celery#1007: it knew of the runs, and had room for them."""
    done = other_done()
    runs = [run_of(invoke(SEND, key="k")) for _ in range(amount)]
    with held(lambda: finish(done, room=64), at="finish.begins") as worker:
        receipt = cancel_runs(key="k")
    assert (receipt.cancelled, receipt.in_flight, worker.result()) == (amount, [], [])
    assert {status(run) for run in runs} == {"cancelled"}
    assert (start(), len(sink.keys)) == ([], 1)


def test_a_worker_inside_its_transaction_starts_none_or_is_on_the_acknowledgement(sink: Sink) -> None:
    """T01: on PostgreSQL the cancel is acknowledged before the start looks; on SQLite it waits its turn."""
    run = run_of(invoke(SEND, key="k"))
    tasks, receipt = overlap(start, lambda: cancel_runs(key="k"), at="gate.passed")
    acknowledged_first = connection.vendor == "postgresql"
    assert [task.claim.run_id for task in tasks] == ([] if acknowledged_first else [run.pk])
    assert [entry["fence"] for entry in receipt.in_flight] == ([] if acknowledged_first else [1])
    assert (status(run), start()) == ("cancelled", [])


def test_a_start_not_yet_committed_is_on_the_acknowledgement(sink: Sink) -> None:
    """T15, SamSaffron/term-llm#918: there is no claimed run that a cancel takes for one that never started."""
    run = run_of(invoke(SEND, SEND, key="k"))
    with held(start, at="start.moved") as worker:
        cancelling = worker.meanwhile(lambda: cancel_runs(key="k"))
        assert not cancelling.has_ended
        assert sink.keys == []  # the effect begins after the commit
    receipt = cancelling.result()
    assert [(entry["run"], entry["step"], entry["fence"]) for entry in receipt.in_flight] == [
        (str(run.uid), "0", 1)
    ]
    finish(*[execution.perform(task) for task in worker.result()])
    assert (status(run), start(), sink.keys) == ("cancelled", [], [f"{run.uid}:0"])


def test_a_started_run_whose_effect_has_not_begun_is_on_the_acknowledgement(sink: Sink) -> None:
    """T15, apache/ignite-3#5095: between the commit of the start and the first byte sent."""
    run = run_of(invoke(SEND, SEND, key="k"))
    with held(start, at="start.committed") as worker:
        receipt = cancel_runs(key="k")
        assert sink.keys == []
    assert [(entry["run"], entry["attempt"]) for entry in receipt.in_flight] == [(str(run.uid), 1)]
    assert len(worker.result()) == 1


def test_a_cancel_not_yet_acknowledged_lets_nothing_of_it_start() -> None:
    """T15, Comfy-Org/ComfyUI#14493: the start passes over what the cancel holds, or waits and finds it gone."""
    run = run_of(invoke(SEND, key="k"))
    receipt, tasks = overlap(lambda: cancel_runs(key="k"), start, at="cancel.moved")
    assert (receipt.cancelled, receipt.in_flight, tasks) == (1, [], [])
    assert status(run) == "cancelled"


def test_a_worker_that_was_told_when_a_run_is_due_does_not_start_it_after_its_cancel() -> None:
    """T04, celery/celery#4300: what a worker remembers of a due time is no more than a reason to look."""
    done = other_done()
    run = run_of(invoke(DELAY, SEND, token="t"))
    make_due(run)
    assert LiveRun.objects.due(now=database_now()).count() == 1
    with held(lambda: finish(done, room=1), at="finish.begins") as worker:
        assert cancel_runs(token="t").cancelled == 1
    assert (worker.result(), status(run)) == ([], "cancelled")


def test_a_cancel_while_no_worker_runs_is_not_lost(sink: Sink) -> None:
    """T05, celery/django-celery-results#423: there is nobody who would have to be told."""
    run = run_of(invoke(SEND, key="k"))
    assert cancel_runs(key="k").cancelled == 1
    assert (work_off(), sink.keys, status(run)) == (0, [], "cancelled")


def test_a_cancel_never_reaches_a_run_invoked_after_it() -> None:
    """T18, inngest/inngest#538: also when the token was resolved before, and the run stored after the cancel."""
    with held(lambda: invoke(DELAY, token="t"), at="invoke.prepared") as worker:
        receipt = cancel_runs(token="t")
    later = run_of(invoke(DELAY, token="t"))
    assert receipt.cancelled == 0
    assert [status(run_of(worker.result())), status(later)] == ["waiting", "waiting"]


def test_a_cancel_hits_the_exact_token_in_its_own_environment() -> None:
    """T19, mastra-ai/mastra#19882: neither a neighbour in spelling, nor the same token elsewhere."""
    tokens = ["a", "a-1", " a", "a ", "A", "á", "%", "a%", "_"]
    runs = {token: run_of(invoke(DELAY, key=token)) for token in tokens}
    elsewhere = run_of(invoke(DELAY, key="a", environment=Environment.objects.get(key="test")))
    for token in ("%", "_", "a"):
        receipt = cancel_runs(token=token)
        assert receipt.cancelled_run_ids == [str(runs[token].uid)]
    waiting = {token for token, run in runs.items() if status(run) == "waiting"}
    assert waiting == {"a-1", " a", "a ", "A", "á", "a%"}
    assert status(elsewhere) == "waiting"


@pytest.mark.parametrize("at", ["gate.passed", "start.moved", "start.committed"])
def test_two_workers_with_the_same_hint_start_a_run_once(at: str) -> None:
    """T32, Koed00/django-q#234: the second finds nothing to do, wherever the first one is."""
    run = run_of(invoke(SEND))
    one, other = overlap(start, start, at=at)
    assert sorted([len(one), len(other)]) == [0, 1]
    assert status(run) == "running"


def test_a_backlog_is_started_in_bounded_batches_and_each_run_once(sink: Sink) -> None:
    """T34, camunda/camunda#14882: overdue runs are not started again and again by every worker that looks."""
    accepted = invoke(SEND, recipients=[f"r{n}" for n in range(150)])
    pass_time(seconds=3600)
    batches: list[list[Task]] = together([lambda: start(room=40)] * 3)
    assert all(0 < len(batch) <= 40 for batch in batches)
    started = [task for batch in batches for task in batch]
    finish(*[execution.perform(task) for task in started])
    work_off()
    assert (len(sink.keys), set(sink.counts.values())) == (150, {1})
    assert Run.objects.filter(invocation=accepted.invocation, status="completed").count() == 150


def test_overdue_rows_that_were_restored_from_a_backup_are_all_carried_forward(sink: Sink) -> None:
    """T35, camunda/camunda#61297: no process remembers what it has sent already, it only reads the rows. What
    is sent twice bears the same idempotency key."""
    runs = [run_of(invoke(SEND, data={"user_id": str(n)})) for n in range(10)]
    backup = [row.__dict__.copy() for row in LiveRun.objects.order_by("pk")]
    assert (work_off(), len(sink.keys)) == (10, 10)
    Run.objects.update(status=None, finished_at=None)
    Event.objects.exclude(kind="invoked").delete()
    for columns in backup:
        LiveRun.objects.create(**{name: value for name, value in columns.items() if name != "_state"})
    assert (work_off(), [status(run) for run in runs]) == (10, ["completed"] * 10)
    assert sink.counts == {f"{run.uid}:0": 2 for run in runs}


def test_a_run_whose_time_passed_while_nobody_worked_starts_at_the_first_look() -> None:
    """T36, elsa-workflows/elsa-core#2443: its place in time is a column, not a timer somebody has to hold."""
    run = run_of(invoke(DELAY, SEND))
    LiveRun.objects.filter(pk=run.pk).update(due_at=database_now() - timedelta(days=3))
    assert [task.claim.run_id for task in start()] == [run.pk]


def test_a_delay_ends_once_however_late_and_however_many_look(sink: Sink) -> None:
    """T37, camunda/camunda#63687: one firing for one due time, and the next delay counts from then."""
    run = run_of(invoke(SEND, DELAY, SEND, DELAY, SEND))
    for _ in range(3):
        pass_time(seconds=7200)
        together([work_off] * 3)
        work_off()
    ends = list(run.events.filter(kind="step_completed").values_list("step", flat=True))
    assert (status(run), ends) == ("completed", ["0", "2", "4"])
    assert sink.keys == [f"{run.uid}:{step}" for step in ends]
