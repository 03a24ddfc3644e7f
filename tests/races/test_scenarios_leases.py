"""Lost, slow and frozen workers: their leases, what is taken back from them, and what they may still say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from automations import channels, execution
from automations.execution import housekeeping
from automations.models import LiveRun, Move, Run, database_now, gate
from tests.channels.sinks import HttpSink
from tests.races.held import held, overlap
from tests.races.history import failed, pass_deadlines, pass_time
from tests.races.sink import Sink
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    make_due,
    production,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def read(run: Run) -> LiveRun:
    return LiveRun.objects.get(pk=run.pk)


def kinds(run: Run) -> list[str]:
    return list(run.events.values_list("kind", flat=True))


def reap() -> int:
    return housekeeping.reap(production())


def taken_back(run: Run) -> execution.Task:
    """The attempt of a worker that was silent too long; its run waits again, and is due."""
    (task,) = start()
    expire_leases()
    assert reap() == 1
    return task


def stale_reap(row: LiveRun) -> int:
    """What a rescuer writes who read the row, was held up, and holds no lock."""
    move = Move(run_id=row.pk, fence=row.fence, position=row.position, due_at=database_now())
    lost = {
        "step": "0",
        "action": "send",
        "attempt": row.attempt,
        "fence": row.fence,
        "deadline": "",
        "started_at": "",
    }
    with gate(environment_id=row.environment_id):
        return LiveRun.objects.reap(row, move=move, lost=lost)


@pytest.mark.parametrize("meanwhile", ["finish", "cancel", "renew", "start again", "cancel and reap"])
def test_a_rescuer_with_a_stale_row_changes_nothing(meanwhile: str) -> None:
    """T11, riverqueue/river#1302: whatever happened since it looked, its write finds another row."""
    run = run_of(invoke(SEND, DELAY, token="t"))
    (task,) = start()
    expire_leases()
    stale = read(run)
    if meanwhile == "finish":
        finish(execution.perform(task))
    elif meanwhile == "renew":
        execution.renew(environment=production(), tasks=[task])
    elif meanwhile == "start again":
        reap()
        start()
    else:
        cancel_runs(token="t")
        if meanwhile == "cancel and reap":
            reap()
    before = LiveRun.objects.values().get(pk=run.pk)
    assert stale_reap(stale) == 0
    assert LiveRun.objects.values().get(pk=run.pk) == before


def test_a_rescuer_with_a_stale_row_of_a_run_that_ended_changes_nothing() -> None:
    """T11: the completed job that was put back to work."""
    run = run_of(invoke(SEND))
    (task,) = start()
    stale = read(run)
    finish(execution.perform(task))
    assert (stale_reap(stale), status(run), LiveRun.objects.count()) == (0, "completed", 0)


def test_while_a_rescuer_takes_an_attempt_back_its_end_waits_and_is_late() -> None:
    """T11: it holds the row from its look to its write."""
    run = run_of(invoke(SEND, DELAY))
    done = [execution.perform(task) for task in start()]
    expire_leases()
    with held(reap, at="reap.read") as worker:
        ending = worker.meanwhile(lambda: finish(*done))
        assert not ending.has_ended
    assert (worker.result(), read(run).state, read(run).unsettled) == (1, "waiting", None)
    assert kinds(run) == ["invoked", "reaped", "late_result"]


def test_while_a_rescuer_takes_an_attempt_back_a_cancel_waits_and_lists_it() -> None:
    """T11: and the run stays settling until the attempt is known to have ended."""
    run = run_of(invoke(SEND, DELAY, token="t"))
    (task,) = start()
    expire_leases()
    _, receipt = overlap(reap, lambda: cancel_runs(token="t"), at="reap.read")
    assert [(entry["attempt"], entry["fence"]) for entry in receipt.in_flight] == [(1, 1)]
    assert (read(run).state, start()) == ("cancelling", [])
    finish(execution.perform(task))
    assert (read(run).state, kinds(run)) == ("cancelled", ["invoked", "reaped", "late_result"])


def test_a_rescuer_passes_over_a_run_whose_end_is_being_written() -> None:
    """T12, apache/airflow#12396: a run that ended a moment ago is not failed for its silence."""
    run = run_of(invoke(SEND))
    done = [execution.perform(task) for task in start()]
    expire_leases()
    _, taken = overlap(lambda: finish(*done), reap, at="finish.moved")
    assert (taken, status(run), kinds(run)) == (0, "completed", ["invoked", "step_completed"])


def test_a_long_step_whose_lease_is_renewed_is_never_taken_back() -> None:
    """T24, hexpm/hexpm#1825: what counts is the worker's sign of life, not how long the step takes."""
    run = run_of(invoke(SEND))
    tasks = start()
    long_ago = database_now() - timedelta(hours=1)
    for _ in range(3):
        expire_leases()
        LiveRun.objects.update(started_at=long_ago, due_at=long_ago)
        execution.renew(environment=production(), tasks=tasks)
        assert (reap(), start()) == (0, [])
    assert (read(run).state, read(run).fence) == ("running", 1)


def test_a_renewal_that_comes_too_late_does_not_take_the_run_away_from_the_next_worker() -> None:
    """T25: the lease it would prolong is somebody else's by now."""
    run = run_of(invoke(SEND))
    (task,) = start()
    expire_leases()
    with held(lambda: execution.renew(environment=production(), tasks=[task]), at="renew.begins"):
        assert reap() == 1
        assert read(run).lease_until is None
    assert (read(run).lease_until, read(run).state) == (None, "waiting")
    start()
    expire_leases()
    before = read(run).lease_until
    execution.renew(environment=production(), tasks=[task])
    assert (read(run).lease_until, read(run).fence) == (before, 2)


def test_the_end_told_by_a_frozen_worker_moves_nothing_and_its_effect_bears_the_same_key(sink: Sink) -> None:
    """T25, OptimalBits/bull#308, and T26, timgit/pg-boss#555: it sends beside the worker that took over."""
    run = run_of(invoke(SEND, DELAY, SEND))
    (task,) = start()
    with held(lambda: finish(execution.perform(task)), at="effect.begins"):
        expire_leases()
        reap()
        (again,) = start()
        finish(execution.perform(again))
        before = read(run).position, read(run).state, read(run).fence, read(run).due_at
    after = read(run).position, read(run).state, read(run).fence, read(run).due_at
    assert (before, before[:3]) == (after, ("2", "waiting", 2))
    assert sink.counts == {f"{run.uid}:0": 2}
    assert kinds(run) == ["invoked", "reaped", "step_completed", "late_result"]


def test_the_late_end_of_the_first_attempt_leaves_the_second_alone(sink: Sink) -> None:
    """T25: while that one is still at work, under a fence of its own."""
    run = run_of(invoke(SEND, DELAY, token="t"))
    lost = taken_back(run)
    (again,) = start()
    assert (again.claim.attempt, again.claim.fence) == (2, 2)
    finish(execution.perform(lost))
    assert (read(run).state, read(run).position, read(run).unsettled) == ("running", "0", None)
    receipt = cancel_runs(token="t")
    assert [(entry["attempt"], entry["fence"]) for entry in receipt.in_flight] == [(2, 2)]


def test_an_attempt_taken_back_is_on_the_acknowledgement_until_it_is_known_to_have_ended() -> None:
    """T25: its lease is gone, and its worker may still send."""
    run = run_of(invoke(SEND, SEND, token="t"))
    lost = taken_back(run)
    receipt = cancel_runs(token="t")
    assert [
        (entry["run"], entry["step"], entry["attempt"], entry["fence"]) for entry in receipt.in_flight
    ] == [(str(run.uid), "0", 1, 1)]
    assert (status(run), read(run).state, start()) == ("cancelled", "cancelling", [])
    finish(execution.perform(lost))
    archive_all()
    assert (status(run), LiveRun.objects.count()) == ("cancelled", 0)


def test_both_attempts_are_on_the_acknowledgement_and_the_run_settles_with_the_last() -> None:
    """T25: the one that was taken back, and the one that runs; in either order."""
    for lost_first in (True, False):
        run = run_of(invoke(SEND, SEND, token="t"))
        lost = taken_back(run)
        (again,) = start()
        receipt = cancel_runs(token="t")
        assert sorted(entry["fence"] for entry in receipt.in_flight) == [1, 2]
        for task in (lost, again) if lost_first else (again, lost):
            assert read(run).state == "cancelling"
            execution.keep_house(production())
            finish(execution.perform(task))
        assert read(run).state == "cancelled"
        archive_all()


def test_a_deadline_settles_the_attempt_it_is_for_and_no_other() -> None:
    """T25: two attempts lost, the deadline of one passed."""
    run = run_of(invoke(SEND, token="t"))
    for _ in range(2):
        taken_back(run)
        if read(run).unsettled and len(read(run).unsettled or ()) == 1:
            pass_deadlines()
    assert [entry["fence"] for entry in read(run).unsettled or ()] == [1, 2]
    assert housekeeping.settle(production()) == 1
    receipt = cancel_runs(token="t")
    assert [entry["fence"] for entry in receipt.in_flight] == [2]
    pass_deadlines()
    housekeeping.settle(production())
    assert read(run).state == "cancelled"


def test_an_attempt_that_is_under_way_is_not_settled_with_those_before_it() -> None:
    """T25: a cancelled run whose step still runs goes on settling, whatever the deadlines of others."""
    run = run_of(invoke(SEND, SEND, token="t"))
    taken_back(run)
    (again,) = start()
    cancel_runs(token="t")
    pass_deadlines()
    assert housekeeping.settle(production()) == 1
    execution.keep_house(production())
    assert (read(run).state, read(run).unsettled) == ("cancelling", None)
    finish(execution.perform(again))
    assert read(run).state == "cancelled"


def test_while_a_deadline_settles_an_attempt_its_late_end_waits_and_settles_nothing_more() -> None:
    """T25: and the other way round, settling passes over a row that the late end holds."""
    run = run_of(invoke(SEND, DELAY, token="t"))
    lost = execution.perform(taken_back(run))
    pass_deadlines()
    cancel_runs(token="t")
    settled, _ = overlap(lambda: housekeeping.settle(production()), lambda: finish(lost), at="settle.read")
    assert (settled, read(run).state) == (1, "cancelled")
    assert kinds(run) == ["invoked", "reaped", "settled", "late_result"]


def test_two_lost_workers_that_answer_at_once_settle_both_attempts() -> None:
    """T25: neither strikes its own attempt from a list that the other is changing."""
    run = run_of(invoke(SEND, token="t"))
    one, other = (execution.perform(taken_back(run)) for _ in range(2))
    cancel_runs(token="t")
    overlap(lambda: finish(one), lambda: finish(other), at="finish.moved")
    assert (read(run).state, read(run).unsettled) == ("cancelled", None)


def test_a_worker_that_started_a_moment_ago_is_not_rescued() -> None:
    """T27, sidekiq/sidekiq#4611: a restart of the others is no reason to take anything from it."""
    run = run_of(invoke(SEND))
    start()
    for _ in range(3):
        execution.keep_house(production())
    assert (read(run).state, read(run).fence, kinds(run), start()) == ("running", 1, ["invoked"], [])


def test_a_cancelled_run_is_not_archived_while_a_step_of_it_is_in_flight() -> None:
    """Its last step is on the acknowledgement, and whoever waits for it still waits."""
    run = run_of(invoke(SEND, token="t"))
    (task,) = start()
    receipt = cancel_runs(token="t")
    execution.keep_house(production())
    receipt.refresh_from_db()
    assert (read(run).state, receipt.archived_at) == ("cancelling", None)
    finish(execution.perform(task))
    archive_all()
    assert Run.objects.get(pk=run.pk).status == "cancelled"


def test_every_attempt_bears_the_same_idempotency_key_on_the_wire(settings: object) -> None:
    """T41, liwala/ay-framework#150: one that was refused, one that was lost, and one that was taken."""
    settings.ALLOW_PRIVATE_NETWORKS = ("127.0.0.1",)  # type: ignore[attr-defined]
    with HttpSink() as http:
        url = http.on("/", lambda request: request.send_error(503))
        run = run_of(invoke({**SEND, "message": {"content": {"body": "x"}, "to": {"webhook": {"url": url}}}}))
        (refused,) = start()
        finish(execution.perform(refused))
        make_due(run)
        execution.perform(taken_back(run))
        del http.behaviours["/"]
        assert (work_off(), status(run)) == (1, "completed")
        keys = [request.headers["idempotency-key"] for request in http.received]
        channels.client.shared(allow_private=("127.0.0.1",)).close()
    assert keys == [f"{run.uid}:0"] * 3


def test_a_failure_told_after_the_run_was_taken_back_causes_no_retry() -> None:
    """T07 and T25 at once: the retry of a lost attempt is the next worker's business."""
    run = run_of(invoke(SEND, DELAY, token="t"))
    lost = taken_back(run)
    (again,) = start()
    finish(failed(lost, retryable=True), failed(lost, retryable=False))
    assert (read(run).state, read(run).attempt, status(run)) == ("running", 2, "running")
    finish(execution.perform(again))
    pass_time()
    assert (work_off(), status(run)) == (1, "completed")
