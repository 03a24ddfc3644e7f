"""`on_cancel`: a cancelled run is followed by a separate one, once."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

import pytest

from automations import execution, publication
from automations.execution import on_cancel
from automations.expressions import pool, process
from automations.models import Event, LiveRun, OnCancelStart, Run, database_now, steps_of_run
from tests.captured import Captured
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

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _automations() -> None:
    publish("win-back", {"cancellation_token": "refs.data.user_id", "steps": [DELAY, SEND]})
    publish(
        "trial",
        {
            "cancellation_token": "refs.data.user_id",
            "on_cancel": {"invoke": "win-back"},
            "steps": [DELAY, SEND],
        },
    )


def trial(**given: Any) -> Run:
    return run_of(invoke(automation="trial", definition=None, **given))


def followers(run: Run) -> list[Run]:
    return list(Run.objects.with_state().filter(source=f"run/{run.uid}"))


def followed(run: Run) -> list[dict[str, Any]]:
    return [event.data for event in Event.objects.filter(run=run, kind="followed")]


def test_a_cancelled_run_is_followed_by_one_of_the_same_recipient_and_data() -> None:
    run = trial(recipients=["ana"], data={"user_id": "u7"}, profile={"email": "a@example.com"}, key="order-1")
    cancel_runs(token="u7")
    assert followers(run) == []
    archive_all()
    assert execution.what_is_due(also_owed=True).owed
    assert execution.start_what_follows(most=10) == 1
    (after,) = followers(run)
    assert (after.automation.key, after.recipient, after.profile) == (
        "win-back", "ana", {"email": "a@example.com"},
    )  # fmt: skip
    assert (after.invocation.data, after.invocation.actor) == ({"user_id": "u7"}, f"run/{run.uid}")
    # A separate run: no child of the cancelled one, and not what its key or the same cancel means.
    assert (after.parent, after.key, after.token, after.public_status) == (None, None, "u7", "waiting")
    assert (status(run), [step.status for step in steps_of_run(read(run))]) == (
        "cancelled",
        ["cancelled", "cancelled"],
    )
    assert followed(run) == [
        {"automation": "win-back", "invocation": str(after.invocation.uid), "runs": [str(after.uid)]}
    ]
    assert not execution.what_is_due(also_owed=True).owed
    assert execution.start_what_follows(most=10) == 0


def test_runs_that_end_otherwise_are_not_followed() -> None:
    run = run_of(invoke(SEND, definition={"on_cancel": {"invoke": "win-back"}, "steps": [SEND]}))
    finish(*[execution.perform(task) for task in start()])
    cancel_runs(run_pks=(run.pk,))
    archive_all()
    assert status(run) == "completed"
    assert OnCancelStart.objects.count() == 0


def test_a_brought_definition_has_one_too_and_a_step_in_flight_is_waited_for() -> None:
    definition = {"cancellation_token": "t", "on_cancel": {"invoke": "win-back"}, "steps": [SEND, SEND]}
    run = run_of(invoke(definition=definition))
    (task,) = start()
    cancel_runs(token="t")
    execution.keep_house(production())
    assert execution.start_what_follows(most=10) == 0
    finish(execution.perform(task))
    archive_all()
    assert execution.start_what_follows(most=10) == 1
    assert len(followers(run)) == 1


def test_many_are_followed_each_by_its_own() -> None:
    accepted = invoke(automation="trial", definition=None, recipients=[f"r{n}" for n in range(7)])
    cancel_runs(token="u1")
    archive_all()
    assert [execution.start_what_follows(most=4) for _ in range(3)] == [4, 3, 0]
    runs = Run.objects.filter(invocation=accepted.invocation)
    assert sorted(str(after.recipient) for run in runs for after in followers(run)) == [
        f"r{n}" for n in range(7)
    ]


def test_without_on_cancel_archiving_writes_no_more_statements() -> None:
    costs = []
    for definition in ({"steps": [DELAY]}, {"steps": [DELAY], "on_cancel": {"invoke": "win-back"}}):
        run = run_of(invoke(definition=definition))
        cancel_runs(run_pks=(run.pk,))
        with Captured() as captured:
            archive_all()
        costs.append([query["sql"] for query in captured])
    plain, followed_by = costs
    assert [sql for sql in plain if "oncancelstart" in sql] == []
    assert len([sql for sql in followed_by if "INSERT" in sql and "oncancelstart" in sql]) == 1


def test_one_left_half_done_is_taken_up_again_without_a_second_run() -> None:
    run = trial()
    cancel_runs(token="u1")
    archive_all()
    (left,) = OnCancelStart.objects.all()
    execution.start_what_follows(most=10)
    # As if its worker had been lost between the run's commit and its own.
    Event.objects.filter(run=run, kind="followed").delete()
    OnCancelStart.objects.bulk_create([left])
    assert execution.start_what_follows(most=10) == 1
    assert (len(followers(run)), len(followed(run)), OnCancelStart.objects.count()) == (1, 1, 0)
    assert followed(run)[0]["runs"] == [str(followers(run)[0].uid)]


def test_one_in_hand_is_nobody_elses_until_its_lease_is_over() -> None:
    trial()
    cancel_runs(token="u1")
    archive_all()
    now = database_now()
    assert [len(on_cancel._claim(most=10, now=now)) for _ in range(2)] == [1, 0]
    assert len(on_cancel._claim(most=10, now=now + on_cancel.LEASE)) == 1


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (
            lambda: publication.disable(environment=production(), key="win-back", by="t"),
            "disabled",
        ),
        (lambda: None, "cancellation_token_unresolved"),
    ],
)
def test_a_refused_start_is_told_in_the_log(prepare: Any, code: str) -> None:
    publish("loose", {"on_cancel": {"invoke": "win-back"}, "steps": [DELAY]})
    run = run_of(invoke(automation="loose", definition=None, data={"user": "no id"}))
    cancel_runs(run_pks=(run.pk,))
    archive_all()
    prepare()
    execution.start_what_follows(most=10)
    (said,) = followed(run)
    assert (said["automation"], said["error"]["kind"], followers(run)) == ("win-back", code, [])
    assert OnCancelStart.objects.count() == 0


def test_an_unknown_automation_is_told_in_the_log() -> None:
    run = run_of(invoke(definition={"on_cancel": {"invoke": "nobody"}, "steps": [DELAY]}))
    cancel_runs(run_pks=(run.pk,))
    archive_all()
    execution.start_what_follows(most=10)
    assert followed(run)[0]["error"]["kind"] == "automation_not_found"


def test_a_run_that_calls_itself_off_does_not_go_on_for_ever() -> None:
    publish(
        "loop",
        {
            "cancellation_token": "refs.data.user_id", "on_cancel": {"invoke": "loop"},
            "steps": [
                {"action": "cancel", "cancellation_token": "refs.data.user_id", "include_self": True}, DELAY,
            ],
        },
    )  # fmt: skip
    first = run_of(invoke(automation="loop", definition=None))
    for _ in range(30):
        archive_all()
        execution.start_what_follows(most=10)
    assert Run.objects.count() == 1 + on_cancel.MOST_GENERATIONS
    assert followed(first)[0]["runs"]
    last = Run.objects.order_by("-pk")[0]
    assert followed(last)[0]["error"]["kind"] == "too_deep"
    assert LiveRun.objects.count() == 0


def test_nor_does_one_that_calls_off_the_child_which_it_bears() -> None:
    publish("child", {"cancellation_token": "c", "on_cancel": {"invoke": "parent"}, "steps": [DELAY]})
    invoke_step, cancel_step = (
        {"action": "invoke", "template": "child"},
        {"action": "cancel", "cancellation_token": "c"},
    )
    publish("parent", {"steps": [invoke_step, cancel_step]})
    invoke(automation="parent", definition=None)
    for _ in range(on_cancel.MOST_GENERATIONS + 5):
        work_off()
        archive_all()
        execution.start_what_follows(most=10)
    assert Run.objects.filter(automation__key="parent").count() == 1 + on_cancel.MOST_GENERATIONS
    last = Run.objects.filter(automation__key="child").order_by("-pk")[0]
    assert followed(last)[0]["error"]["kind"] == "too_deep"


def test_where_the_token_cannot_be_evaluated_now_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    publish("scripted", {"cancellation_token": "${data.user_id + 'x'}", "steps": [DELAY]})
    run = run_of(invoke(definition={"on_cancel": {"invoke": "scripted"}, "steps": [DELAY]}))
    invoke(automation="scripted", definition=None)
    cancel_runs(run_pks=(run.pk,))
    archive_all()
    monkeypatch.setattr(process, "PATIENCE_S", 0.2)
    for pid in pool.current().pids():
        os.kill(pid, signal.SIGSTOP)
    execution.start_what_follows(most=10)
    assert (followed(run), followers(run)) == ([], [])
    pause = OnCancelStart.objects.get().due_at - database_now()
    assert pause <= timedelta(seconds=2)
    OnCancelStart.objects.update(due_at=database_now())
    execution.start_what_follows(most=10)
    assert [after.token for after in followers(run)] == ["u1x"]
