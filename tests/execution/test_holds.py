"""A cancellation that holds: it has the runs accepted later as well, each as it is born."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations import cancellation as cancelling
from automations import execution, near_misses
from automations.execution.replay import ReplayRequest, replay
from automations.explanation import explain
from automations.models import (
    Cancellation,
    Environment,
    LiveRun,
    OnCancelStart,
    Refusal,
    Run,
    database_now,
    steps_of_run,
)
from tests.captured import Captured
from tests.notices.scene import endpoint, owed
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    invoke,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)
from tests.test_undo import undone

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "other"}


def hold(**fields: Any) -> Cancellation:
    return cancel_runs(hold_for=HOUR, **fields)


def is_held(**given: Any) -> bool:
    return status(run_of(invoke(DELAY, **given))) == "cancelled"


def test_a_run_accepted_later_is_recorded_as_cancelled() -> None:
    before = run_of(invoke(DELAY, token="t"))
    receipt = hold(token="t")
    accepted = invoke(DELAY, SEND, token="t")
    run = run_of(accepted)
    assert accepted.runs[0]["status"] == "cancelled"
    assert (run.status, run.status_reason, run.cancellation_id) == (
        "cancelled", "held_by_cancellation", receipt.pk,
    )  # fmt: skip
    assert (run.live_run, run.finished_at, run.ended_at) == (None, run.created_at, run.created_at)
    assert run.created_at > receipt.as_of
    assert (receipt.cancelled_run_ids, receipt.cancelled, receipt.matched) == ([str(before.uid)], 1, 1)
    assert [step.status for step in steps_of_run(run)] == ["cancelled", "cancelled"]
    assert start() == []


def test_the_log_of_a_held_run_says_what_an_undo_needs() -> None:
    receipt = hold(token="t")
    run = run_of(invoke(DELAY, SEND, token="t"))
    born, called_off = run.events.order_by("pk")
    assert (born.kind, born.data) == ("invoked", {"position": "0", "due_at": run.created_at.isoformat()})
    assert (called_off.kind, called_off.step, called_off.attempt, called_off.at) == (
        "cancelled", "0", 0, run.created_at,
    )  # fmt: skip
    assert called_off.data == {
        "due_at": run.created_at.isoformat(), "fence": 0, "cancellation": str(receipt.pk),
    }  # fmt: skip


def test_nothing_of_the_head_of_a_held_run_is_carried_out() -> None:
    spared = run_of(invoke(DELAY, token="other"))
    hold(token="t")
    run = run_of(invoke(CANCEL, token="t"))
    assert (status(run), status(spared)) == ("cancelled", "waiting")
    assert Cancellation.objects.count() == 1


def test_a_held_run_supersedes_nobody_and_is_refused_for_nobody() -> None:
    for policy in ("cancel_previous", "reject_new"):
        definition = {"concurrency": {"key": policy, "policy": policy}, "steps": [DELAY]}
        earlier = run_of(invoke(definition=definition))
        cancel_runs(hold_for=HOUR, token=policy)
        later = run_of(invoke(definition={**definition, "cancellation_token": policy}))
        assert (status(earlier), status(later)) == ("waiting", "cancelled")


def test_of_the_recipients_of_an_invocation_those_asked_for_are_held() -> None:
    hold(recipients=("b",))
    accepted = invoke(DELAY, recipients=["a", "b", "c"])
    assert [run["status"] for run in accepted.runs] == ["waiting", "cancelled", "waiting"]
    assert [status(run_of(accepted, index)) for index in range(3)] == ["waiting", "cancelled", "waiting"]


@pytest.mark.parametrize(
    ("fields", "given", "spared"),
    [
        ({"token": "t"}, {"token": "t"}, {"token": "u"}),
        ({"token": "t"}, {"key": "t"}, {"key": "u"}),
        ({"key": "k"}, {"key": "k"}, {"token": "k"}),
        ({"recipients": ("r", "s")}, {"recipients": ["s"]}, {}),
        ({"source": "shop"}, {"source": "shop"}, {"source": "shop/1"}),
        ({"tenant": "acme"}, {"tenant": "acme"}, {"tenant": "other"}),
        ({"tags": ("vip", "x")}, {"tags": ["x"]}, {"tags": ["y"]}),
        ({"token": "t", "tags": ("x",)}, {"token": "t", "tags": ["x"]}, {"token": "t"}),
        ({"automation": "one"}, {"automation": "one", "definition": None}, {}),
    ],
)
def test_it_is_for_what_its_filter_matches(
    fields: dict[str, Any], given: dict[str, Any], spared: dict[str, Any]
) -> None:
    publish("one", {"steps": [DELAY]})
    hold(**fields)
    assert is_held(**given)
    assert not is_held(**spared)


def test_all_of_an_environment_can_be_held_and_no_other() -> None:
    hold(everything=True)
    assert is_held()
    assert not is_held(environment=Environment.objects.get(key="test"))


@pytest.mark.parametrize("over", ["time", "undone"])
def test_a_hold_that_is_over_holds_nothing(over: str) -> None:
    receipt = hold(token="t")
    ended = {"time": {"hold_until": database_now()}, "undone": {"undone_at": database_now()}}
    Cancellation.objects.filter(pk=receipt.pk).update(**ended[over])
    assert not is_held(token="t")


def test_a_cancel_that_does_not_hold_spares_what_comes_later() -> None:
    receipt = cancel_runs(token="t")
    assert (receipt.hold_until, is_held(token="t")) == (None, False)


def test_of_two_the_older_has_the_run() -> None:
    older = hold(source="api/test")
    hold(token="t")
    run = run_of(invoke(DELAY, token="t"))
    assert run.called_off_by == older


def test_it_holds_although_it_is_archived_and_its_receipt_stays() -> None:
    receipt = hold(token="t")
    assert (receipt.cancelled, receipt.archived_at) == (0, receipt.as_of)
    archive_all()
    assert is_held(token="t")
    receipt.refresh_from_db()
    assert (receipt.cancelled, receipt.cancelled_run_ids, receipt.held().count()) == (0, [], 1)


def test_a_bar_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(2)]
    receipt = hold(token="t")
    assert receipt.swept_at is None
    later = run_of(invoke(DELAY, token="t"))
    assert (later.status_reason, later.called_off_by) == ("held_by_cancellation", receipt)
    archive_all()
    receipt.refresh_from_db()
    assert (receipt.cancelled, receipt.matched, receipt.held().get()) == (2, 2, later)
    assert [read(run).reason for run in runs] == ["cancel_request"] * 2
    assert is_held(token="t")


def test_what_is_born_under_it_is_told_and_followed_like_any_cancelled_run() -> None:
    publish("after", {"cancellation_token": "refs.data.user_id", "steps": [DELAY]})
    endpoint()
    receipt = hold(token="t")
    definition = {"cancellation_token": "t", "on_cancel": {"invoke": "after"}, "steps": [SEND]}
    run = run_of(invoke(definition=definition))
    assert owed() == [(run.pk, "run.cancelled")]
    following = OnCancelStart.objects.get()
    assert (following.run_id, following.cancellation_id, following.automation) == (
        run.pk, receipt.pk, "after",
    )  # fmt: skip
    hold(token="u1")
    execution.start_what_follows(most=10)
    follower = Run.objects.get(source=f"run/{run.uid}")
    assert (follower.status, follower.status_reason) == ("cancelled", "held_by_cancellation")


def test_a_replay_is_held_too() -> None:
    run = run_of(invoke(SEND, SEND, token="t"))
    work_off()
    receipt = hold(token="t")
    again = replay(ReplayRequest(environment=production(), actor="a", run=read(run), from_step="1"))
    assert (again.runs[0]["status"], run_of(again).called_off_by) == ("cancelled", receipt)
    assert [event.kind for event in run_of(again).events.order_by("pk")] == [
        "invoked",
        "carried",
        "cancelled",
    ]
    assert run_of(again).events.get(kind="cancelled").step == "1"


def test_an_invoke_costs_the_same_where_no_hold_stands() -> None:
    def statements() -> int:
        with Captured() as captured:
            invoke(DELAY, token="t")
        return len(captured)

    invoke(DELAY)
    without = statements()
    receipt = hold(token="u")
    assert statements() == without + 1
    Cancellation.objects.filter(pk=receipt.pk).update(hold_until=database_now() - HOUR)
    assert statements() == without


@pytest.mark.parametrize(
    "fields", [{"run_ids": ("x",)}, {"invocation": "x"}, {"idempotency_key": "k"}, {"created_before": HOUR},
               {"due_before": HOUR}, {"due_after": HOUR}]
)  # fmt: skip
def test_what_matches_no_later_run_cannot_hold(fields: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        hold(token="t", **fields)
    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code) == (f"/filter/{next(iter(fields))}", "cannot_hold")
    assert Cancellation.objects.count() == 0


# -- why --------------------------------------------------------------------------------------------------


def test_a_held_run_is_shifted_by_the_time_for_which_it_was_called_off() -> None:
    receipt = hold(token="t")
    began = receipt.as_of - timedelta(minutes=12)  # as if it had held so long before the run was accepted
    Cancellation.objects.filter(pk=receipt.pk).update(as_of=began)
    run = run_of(invoke(DELAY, SEND, token="t"))
    done = undone(receipt, "shift")
    live = read(run).live
    assert (live.state, live.position, live.due_at) == ("waiting", "0", done.undone_at)


def test_a_run_says_that_it_was_held() -> None:
    receipt = hold(token="t")
    run = run_of(invoke(DELAY, token="t"))
    why = explain(run, receipt)
    assert (why.hit, why.reason) == (True, "held")
    assert why.sentence.startswith("hit: accepted 0.")
    assert "after the cancellation, while it held (until " in why.sentence


def test_a_run_says_why_it_was_not_held() -> None:
    older, receipt = hold(token="t"), hold(token="t")
    run = run_of(invoke(DELAY, token="t"))
    assert explain(run, receipt).reason == "held_before"
    assert str(older.pk) in explain(run, receipt).sentence
    Cancellation.objects.update(hold_until=receipt.as_of, undone_at=None)
    receipt.refresh_from_db()
    later = run_of(invoke(DELAY, token="t"))
    why = explain(later, receipt)
    assert (why.hit, why.reason) == (False, "accepted_later")
    assert "after the cancellation had ceased to hold" in why.sentence


@pytest.mark.parametrize("before", [timedelta(minutes=5), -HOUR])
def test_what_a_hold_nearly_had_is_told(monkeypatch: pytest.MonkeyPatch, before: timedelta) -> None:
    """Also of one that was placed long before the run was accepted."""
    monkeypatch.setattr(near_misses, "BEFORE", before)
    receipt = hold(token="onboarding-u1")
    run = run_of(invoke(DELAY, token="Onboarding-u1"))
    assert status(run) == "waiting"
    assert [row for row, _ in near_misses.of_run(read(run))] == [receipt]
    assert [(one, why.reason) for one, why in near_misses.of_cancellation(receipt)] == [
        (run, "token_differs")
    ]


def test_no_live_row_is_made() -> None:
    hold(everything=True)
    invoke(DELAY, recipients=["a", "b"])
    assert LiveRun.objects.count() == 0
