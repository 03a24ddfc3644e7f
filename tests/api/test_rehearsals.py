"""A dry run shows what a cancel would do; its plan does exactly that, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from automations import cancellation as cancelling
from automations import undo
from automations.api.moments import stamp
from automations.models import Cancellation, LiveRun, Overdue, database_now
from tests.api.conftest import Caller, decoded, refused
from tests.scenes import DELAY, SEND, cancel_runs, invoke, production, publish, run_of, start, status

pytestmark = pytest.mark.django_db
PATH = "/api/v1/cancellations"


def rehearse(api: Caller, **body: Any) -> dict[str, Any]:
    answer: dict[str, Any] = decoded(api.post(PATH, {**body, "dry_run": True}))
    return answer


def test_it_says_what_would_happen_and_changes_nothing(api: Caller) -> None:
    publish("one", {"steps": [SEND, DELAY], "cancellation_token": "t"})
    running = run_of(invoke(definition=None, automation="one"))
    start()
    waiting = [run_of(invoke(definition=None, automation="one")) for _ in range(2)]
    adhoc = run_of(invoke(DELAY, token="t", recipients=["ana"]))
    run_of(invoke(DELAY, token="other"))
    cancel_runs(run_ids=(run_of(invoke(DELAY, token="t")).uid,))
    cancel_runs(run_ids=(run_of(invoke(DELAY, token="t")).uid,))
    answer = rehearse(api, filter={"token": "t"}, reason="why")
    assert (answer["id"], answer["dry_run"], answer["reason"]) == (None, True, "why")
    assert (answer["matched"], answer["cancelled"], answer["settled"]) == (6, 4, False)
    assert (answer["already_finished"], answer["counted"]) == (2, True)
    (step,) = answer["in_flight"]
    assert (step["run"], step["step"], step["attempt"]) == (str(running.uid), "0", 1)
    assert answer["by_automation"] == [{"automation": "one", "runs": 3}, {"automation": None, "runs": 1}]
    assert answer["by_status"] == {"running": 1, "waiting": 3}
    newest = [str(run.uid) for run in [adhoc, *reversed(waiting), running]]
    assert [run["id"] for run in answer["sample"]] == newest
    assert answer["sample"][0]["recipient"] == "ana"
    assert (Cancellation.objects.count(), LiveRun.objects.exclude(cancellation=None).count()) == (2, 2)
    done = decoded(api.post(PATH, {"filter": {"token": "t"}}))
    told = ("matched", "cancelled", "already_finished", "in_flight", "settled", "counted")
    assert [done[name] for name in told] == [answer[name] for name in told]


def test_what_has_ended_is_counted_up_to_a_limit(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automations.rehearsal.COUNTED_FINISHED", 1)
    for _ in range(2):
        run_of(invoke(DELAY, token="t"))
        cancel_runs(token="t")
    run_of(invoke(DELAY, token="t"))
    answer = rehearse(api, filter={"token": "t"})
    told = ("matched", "cancelled", "already_finished", "counted")
    assert [answer[name] for name in told] == [None, 1, None, False]


def test_a_plan_cancels_what_was_shown_and_not_what_came_later(api: Caller) -> None:
    shown = [run_of(invoke(DELAY, token="t")) for _ in range(3)]
    plan = rehearse(api, filter={"token": "t"})["plan"]
    cancel_runs(run_ids=(shown[0].uid,))
    later = run_of(invoke(DELAY, token="t"))
    answer = decoded(api.post(PATH, {"plan": plan, "filter": {"token": "t"}, "reason": "as shown"}))
    assert answer["cancelled_run_ids"] == [str(run.uid) for run in shown[1:]]
    assert (answer["filter"], answer["dry_run"], status(later)) == ({"token": "t"}, False, "waiting")


def test_a_plan_of_many_is_a_bar_over_what_was_shown(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    shown = [run_of(invoke(DELAY, token="t")) for _ in range(3)]
    plan = rehearse(api, filter={"token": "t"})["plan"]
    later = run_of(invoke(DELAY, token="t"))
    assert decoded(api.post(PATH, {"plan": plan}))["counted"] is False
    assert [status(run) for run in [*shown, later]] == ["cancelled"] * 3 + ["waiting"]
    answer = rehearse(api, filter={"token": "t"})
    assert (answer["matched"], answer["cancelled"], answer["already_finished"]) == (4, 1, 3)


@pytest.mark.parametrize("at_once", [1, 1000])
def test_a_plan_that_has_been_outgrown_cancels_nothing(
    api: Caller, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", at_once)
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(3)]
    LiveRun.objects.filter(pk=runs[0].pk).update(token="u")  # as if it had been undone since
    plan = rehearse(api, filter={"token": "t"})["plan"]
    LiveRun.objects.filter(pk=runs[0].pk).update(token="t")
    assert refused(api.post(PATH, {"plan": plan})) == (422, "plan_outgrown", [("/plan", "plan_outgrown")])
    assert ([status(run) for run in runs], Cancellation.objects.count()) == (["waiting"] * 3, 0)


@pytest.mark.parametrize("at_once", [0, 1000])
def test_a_plan_cancels_no_other_runs_than_were_shown_though_they_are_no_more(
    api: Caller, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    shown, other = run_of(invoke(DELAY, token="t")), run_of(invoke(DELAY, token="t"))
    earlier = cancel_runs(run_ids=(other.uid,))
    plan = rehearse(api, filter={"token": "t"})["plan"]
    cancel_runs(run_ids=(shown.uid,))
    undo.undo(environment=production(), pk=earlier.pk, actor="user/ana", overdue=Overdue.FIRE_NOW)
    monkeypatch.setattr(cancelling, "AT_ONCE", at_once)
    assert refused(api.post(PATH, {"plan": plan})) == (422, "plan_outgrown", [("/plan", "plan_outgrown")])
    assert [status(run) for run in (shown, other)] == ["cancelled", "waiting"]


def test_a_plan_by_due_times_cancels_none_that_came_to_be_due_then(api: Caller) -> None:
    shown, other = run_of(invoke(DELAY, token="t")), run_of(invoke(DELAY, token="t"))
    due, later = database_now() + timedelta(hours=1), database_now() + timedelta(hours=6)
    LiveRun.objects.filter(pk=shown.pk).update(due_at=due)
    LiveRun.objects.filter(pk=other.pk).update(due_at=later)
    asked = {"token": "t", "due_before": stamp(due + timedelta(hours=1))}
    plan = rehearse(api, filter=asked)["plan"]
    LiveRun.objects.filter(pk=shown.pk).update(due_at=later)
    LiveRun.objects.filter(pk=other.pk).update(due_at=due)
    assert refused(api.post(PATH, {"plan": plan}))[:2] == (422, "plan_outgrown")
    LiveRun.objects.filter(pk=shown.pk).update(due_at=due)
    LiveRun.objects.filter(pk=other.pk).update(due_at=later)
    assert decoded(api.post(PATH, {"plan": plan}))["cancelled_run_ids"] == [str(shown.uid)]


def test_a_plan_of_more_runs_than_it_names_goes_by_their_number(
    api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automations.rehearsal.NAMED", 1)
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(3)]
    plan = rehearse(api, filter={"token": "t"})["plan"]
    LiveRun.objects.filter(pk=runs[0].pk).update(token="u")
    assert decoded(api.post(PATH, {"plan": plan}))["cancelled"] == 2


def test_it_names_what_an_earlier_cancel_has_left_in_flight(api: Caller) -> None:
    run = run_of(invoke(SEND, token="t"))
    start()
    cancel_runs(token="t")
    answer = rehearse(api, filter={"token": "t"})
    assert ([step["run"] for step in answer["in_flight"]], answer["settled"]) == ([str(run.uid)], False)
    done = decoded(api.post(PATH, {"filter": {"token": "t"}}))
    assert (done["in_flight"], done["settled"], done["cancelled"]) == (answer["in_flight"], False, 0)
    by_due_time = rehearse(api, filter={"token": "t", "due_after": "2020-01-01T00:00:00Z"})
    assert (by_due_time["in_flight"], by_due_time["settled"]) == ([], True)


def test_what_is_no_plan_of_this_environment_and_filter_is_refused(api: Caller) -> None:
    invoke(DELAY, token="t")
    plan = rehearse(api, filter={"token": "t"})["plan"]
    wrong = [("/plan", "invalid")]
    assert refused(api.post(PATH, {"plan": plan[:-3]})) == (422, "invalid", wrong)
    assert refused(api.post(PATH, {"plan": 5})) == (422, "invalid", wrong)
    body = {"plan": plan, "filter": {"token": "other"}}
    assert refused(api.post(PATH, body)) == (422, "plan_differs", [("/plan", "plan_differs")])


def test_a_plan_of_another_environment_is_none_here(api: Caller, make_key: Callable[..., str]) -> None:
    invoke(DELAY, token="t")
    plan = rehearse(api, filter={"token": "t"})["plan"]
    elsewhere = Caller(make_key("cancel", environment="test"))
    assert refused(elsewhere.post(PATH, {"plan": plan})) == (422, "invalid", [("/plan", "invalid")])


def test_a_plan_is_good_for_an_hour(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke(DELAY, token="t")
    plan = rehearse(api, filter={"token": "t"})["plan"]
    monkeypatch.setattr("automations.rehearsal.PLAN_KEPT", -1)
    expected = (422, "plan_expired", [("/plan", "plan_expired")])
    assert refused(api.post(PATH, {"plan": plan})) == expected
    assert refused(api.post(PATH, {"plan": plan, "dry_run": True})) == expected
    assert refused(api.post(PATH, {"plan": plan}, Idempotency_Key="k")) == expected


def test_a_repeated_request_gets_its_answer_when_its_plan_is_old(
    api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke(DELAY, token="t")
    plan = rehearse(api, filter={"token": "t"})["plan"]
    first = api.post(PATH, {"plan": plan}, Idempotency_Key="k")
    monkeypatch.setattr("automations.rehearsal.PLAN_KEPT", -1)
    again = api.post(PATH, {"plan": plan}, Idempotency_Key="k")
    assert (decoded(again), again["Idempotent-Replayed"]) == (decoded(first), "true")
    assert decoded(first)["cancelled"] == 1


def test_nothing_to_cancel_can_be_rehearsed_too(api: Caller) -> None:
    answer = rehearse(api, filter={"token": "nobody"})
    assert (answer["matched"], answer["by_automation"], answer["sample"]) == (0, [], [])
    assert decoded(api.post(PATH, {"plan": answer["plan"]}))["cancelled"] == 0


def test_a_dry_run_of_no_filter_is_refused_as_a_cancel_is(api: Caller) -> None:
    assert refused(api.post(PATH, {"filter": {}, "dry_run": True}))[:2] == (400, "empty_filter")
