"""Replaying runs, and giving waiting ones another time, over the native API."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from automations.api.moments import stamp
from automations.models import LiveRun, Run, database_now
from tests.api.conftest import Caller, decoded, refused
from tests.scenes import DELAY, SEND, cancel_runs, invoke, publish, read, run_of, start, status, work_off

pytestmark = pytest.mark.django_db
PATH = "/api/v1/runs"
NOWHERE = "0199d3f2-0000-7000-8000-000000000001"


def ended(*steps: dict[str, Any], **given: Any) -> Run:
    """A run that was called off."""
    run = run_of(invoke(*steps, **given))
    cancel_runs(run_pks=(run.pk,))
    return run


# -- replay ------------------------------------------------------------------------------------------------


def test_a_replay_is_answered_like_an_invocation_with_what_it_replays(api: Caller) -> None:
    old = ended(DELAY, SEND, token="t", key="k", recipients=["ada"])
    answer = decoded(api.send("POST", f"{PATH}/{old.uid}/replay"), 201)
    again = Run.objects.with_state().get(replay_of=old.uid)
    assert answer == {
        "id": str(again.invocation.uid), "automation": None, "version": None, "source": f"run/{old.uid}",
        "run_count": 1, "replay_of": str(old.uid), "runs": [
            {"id": str(again.uid), "status": "waiting", "recipient": "ada", "cancellation_token": "t",
             "cancellation_key": "k"},
        ],
    }  # fmt: skip
    told = api.get(f"{PATH}/{again.uid}")
    assert (told["replay_of"], told["source"], told["status"]) == (str(old.uid), f"run/{old.uid}", "waiting")
    assert api.get(f"{PATH}/{old.uid}")["replay_of"] is None


def test_both_logs_tell_of_it(api: Caller) -> None:
    old = run_of(invoke(SEND, SEND))
    work_off()
    answer = decoded(api.post(f"{PATH}/{old.uid}/replay", {"from_step": 1, "data": {"user_id": "u2"}}), 201)
    again = answer["runs"][0]["id"]
    last, *_ = api.get(f"{PATH}/{old.uid}/events")["items"]
    assert (last["kind"], last["data"]) == (
        "replayed", {"run": again, "from_step": 1, "actor": "key/backend"},
    )  # fmt: skip
    carried, invoked = api.get(f"{PATH}/{again}/events")["items"]
    assert (invoked["kind"], invoked["data"]["replay_of"], invoked["data"]["from_step"]) == (
        "invoked", str(old.uid), 1,
    )  # fmt: skip
    assert (carried["kind"], carried["step"], carried["data"]["run"]) == ("carried", "0", str(old.uid))
    work_off()
    first, second = api.get(f"{PATH}/{again}")["steps"]
    assert (first["status"], first["skip_reason"], first["output"]["body"]) == (
        "skipped", "carried_over", "Hello u1",
    )  # fmt: skip
    assert (second["status"], second["output"]["body"]) == ("completed", "Hello u2")


def test_the_same_key_and_body_give_the_same_answer(api: Caller) -> None:
    old, other = ended(DELAY), ended(DELAY)
    path = f"{PATH}/{old.uid}/replay"
    first = api.post(path, {"from_step": 0}, Idempotency_Key="a")
    second = api.post(path, {"from_step": 0}, Idempotency_Key="a")
    assert (first.headers.get("Idempotent-Replayed"), second["Idempotent-Replayed"]) == (None, "true")
    assert decoded(second, 201) == decoded(first, 201)
    for where, body in ((path, {}), (f"{PATH}/{other.uid}/replay", {"from_step": 0})):
        assert refused(api.post(where, body, Idempotency_Key="a"))[:2] == (422, "idempotency_key_reused")
    assert Run.objects.exclude(replay_of=None).count() == 1


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"from_step": "none"}, "/from_step", "unknown_step"),
        ({"from_step": 9}, "/from_step", "unknown_step"),
        ({"from_step": -1}, "/from_step", "invalid"),
        ({"from_step": True}, "/from_step", "invalid"),
        ({"from_step": 1.0}, "/from_step", "invalid"),
        ({"from_step": ""}, "/from_step", "invalid"),
        ({"from_step": []}, "/from_step", "invalid"),
        ({"data": []}, "/data", "invalid"),
        ({"data": {"x": "x" * 300_000}}, "/data", "data_too_large"),
        ({"token": "t"}, "/token", "unknown_field"),
    ],
)
def test_a_replay_that_cannot_be_meant_is_refused(api: Caller, body: Any, pointer: str, code: str) -> None:
    old = ended(DELAY)
    assert refused(api.post(f"{PATH}/{old.uid}/replay", body)) == (422, code, [(pointer, code)])
    assert Run.objects.count() == 1


def test_only_a_finished_run_is_replayed(api: Caller) -> None:
    run = run_of(invoke(DELAY))
    response = api.send("POST", f"{PATH}/{run.uid}/replay")
    assert refused(response) == (422, "not_finished", [("", "not_finished")])
    assert "the run is waiting;" in response.content.decode()


@pytest.mark.parametrize("policy", ["cancel_previous", "reject_new"])
def test_a_replay_makes_way_by_its_concurrency_key(api: Caller, policy: str) -> None:
    concurrency = {"key": "refs.data.user_id", "policy": policy}
    given: Any = {"definition": {"concurrency": concurrency, "steps": [DELAY]}}
    old, other = ended(**given), run_of(invoke(**given))
    response = api.send("POST", f"{PATH}/{old.uid}/replay")
    by = read(other).called_off_by
    if policy == "reject_new":
        told = json.loads(response.content)
        assert (response.status_code, told["run"], by) == (422, str(other.uid), None)
        assert [(one["pointer"], one["code"]) for one in told["errors"]] == [("", "already_running")]
    else:
        assert by is not None
        assert decoded(response, 201)["runs"][0]["supersedes"] == str(by.pk)


def test_a_disabled_automation_bears_no_replay(api: Caller) -> None:
    publish("k", {"steps": [DELAY]})
    old = ended(automation="k", definition=None)
    decoded(api.post("/api/v1/automations/k/disable", {}))
    assert refused(api.send("POST", f"{PATH}/{old.uid}/replay"))[:2] == (422, "disabled")


def test_steps_that_cancel_take_a_key_that_may_cancel(make_key: Callable[..., str]) -> None:
    """As with invoking a definition of one's own; what is published may be run by all who may invoke."""
    definition: dict[str, Any] = {"steps": [{"action": "cancel", "cancellation_token": "t"}, DELAY]}
    publish("k", definition)
    invoker = Caller(make_key("invoke"))
    assert refused(invoker.send("POST", f"{PATH}/{ended(definition=definition).uid}/replay"))[0] == 403
    decoded(invoker.send("POST", f"{PATH}/{ended(automation='k', definition=None).uid}/replay"), 201)


def test_a_replay_costs_a_fixed_number_of_statements(api: Caller, django_assert_max_num_queries: Any) -> None:
    publish("k", {"steps": [SEND, DELAY, SEND]})
    for given in ({"automation": "k", "definition": None}, {"definition": {"steps": [SEND] * 9}}):
        old = run_of(invoke(**given))
        work_off()
        cancel_runs(run_pks=(old.pk,))
        with django_assert_max_num_queries(20):
            decoded(api.post(f"{PATH}/{old.uid}/replay", {"from_step": 1}), 201)


# -- reschedule and run now --------------------------------------------------------------------------------


def test_a_run_is_rescheduled_to_a_moment(api: Caller) -> None:
    run = run_of(invoke({"id": "nap", **DELAY}, SEND))
    later = stamp(database_now() + timedelta(days=3))
    told = decoded(api.post(f"{PATH}/{run.uid}/reschedule", {"due_at": later}))
    assert (told["id"], told["status"], told["due_at"]) == (str(run.uid), "waiting", later)
    assert (told["steps"][0]["status"], told["steps"][0]["due_at"]) == ("waiting", later)
    assert api.get(f"{PATH}/{run.uid}") == told
    last, *_ = api.get(f"{PATH}/{run.uid}/events")["items"]
    assert (last["kind"], last["step"], last["data"]) == ("rescheduled", "1", {
        "actor": "key/backend", "position": "1", "was_due_at": stamp(run.live.due_at), "due_at": later,
    })  # fmt: skip


def test_a_run_is_rescheduled_by_a_duration(api: Caller) -> None:
    run = run_of(invoke(DELAY, SEND))
    told = decoded(api.post(f"{PATH}/{run.uid}/reschedule", {"in": "P2D"}))
    left = datetime.fromisoformat(told["due_at"]) - database_now()
    assert timedelta(days=2) - timedelta(minutes=1) < left <= timedelta(days=2)


def test_a_run_is_run_now(api: Caller) -> None:
    run = run_of(invoke(DELAY, SEND))
    told = decoded(api.send("POST", f"{PATH}/{run.uid}/run-now"))
    assert (told["status"], datetime.fromisoformat(told["due_at"]) <= database_now()) == ("waiting", True)
    work_off()
    assert status(run) == "completed"


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/due_at", "required"),
        ({"due_at": "2030-01-01", "in": "1 hour"}, "/due_at", "required"),
        ({"due_at": "tomorrow"}, "/due_at", "invalid_moment"),
        ({"due_at": 5}, "/due_at", "invalid"),
        ({"due_at": "9999-12-31T23:59:59-14:00"}, "/due_at", "invalid_moment"),
        ({"due_at": "9999-12-31"}, "/due_at", "too_far"),
        ({"in": "soon"}, "/in", "invalid_duration"),
        ({"in": "367 days"}, "/in", "invalid_duration"),
        ({"in": "1 hour", "by": "me"}, "/by", "unknown_field"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(api: Caller, body: Any, pointer: str, code: str) -> None:
    run = run_of(invoke(DELAY, SEND))
    assert refused(api.post(f"{PATH}/{run.uid}/reschedule", body)) == (422, code, [(pointer, code)])
    assert (read(run).due_at, run.events.count()) == (run.due_at, 1)


@pytest.mark.parametrize("verb", ["reschedule", "run-now"])
@pytest.mark.parametrize("named", ["running", "completed", "cancelled"])
def test_a_run_that_does_not_wait_is_named_as_it_is(api: Caller, verb: str, named: str) -> None:
    run = run_of(invoke(SEND if named != "cancelled" else DELAY))
    if named == "cancelled":
        cancel_runs(run_pks=(run.pk,))
    elif named == "running":
        start()
    else:
        work_off()
    before = list(LiveRun.objects.values())
    response = api.post(f"{PATH}/{run.uid}/{verb}", {"in": "1 hour"} if verb == "reschedule" else {})
    assert refused(response) == (422, "not_waiting", [("", "not_waiting")])
    assert f"the run is {named};" in response.content.decode()
    assert list(LiveRun.objects.values()) == before


@pytest.mark.parametrize("verb", ["reschedule", "run-now", "replay"])
def test_a_run_of_another_environment_is_not_there(make_key: Callable[..., str], verb: str) -> None:
    caller = Caller(make_key("invoke", environment="test"))
    for uid in (run_of(invoke(DELAY, SEND)).uid, NOWHERE):
        body = {"in": "1 hour"} if verb == "reschedule" else {}
        assert refused(caller.post(f"{PATH}/{uid}/{verb}", body))[:2] == (404, "run_not_found")


@pytest.mark.parametrize("verb", ["reschedule", "run-now"])
def test_a_reschedule_costs_a_fixed_number_of_statements(
    api: Caller, verb: str, django_assert_max_num_queries: Any
) -> None:
    for steps in ([DELAY], [DELAY, SEND, SEND]):
        run = run_of(invoke(*steps))
        body = {"in": "1 hour"} if verb == "reschedule" else {}
        with django_assert_max_num_queries(11):
            decoded(api.post(f"{PATH}/{run.uid}/{verb}", body))
