"""SuprSend's cancel: by filters, all of which must hold."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from automations.models import Cancellation, Contact, Recipient, Run
from tests.api.conftest import Caller, decoded, suprsend_refused
from tests.scenes import DELAY, SEND, invoke, make_due, production, publish, run_of, start, status, work_off

pytestmark = pytest.mark.django_db
PATH = "/v1/workflow_run/cancel/"
NO_FILTER = {
    "code": 400,
    "message": "at least one filter is required: execution_id, recipients, idempotency_key",
}


@pytest.fixture(autouse=True)
def workflows(db: None) -> None:
    publish("one", {"steps": [DELAY, SEND]}, alias="Workflow One")
    publish("two", {"steps": [DELAY, SEND]})


def trigger(api: Caller, *recipients: Any, workflow: str = "one", **given: Any) -> list[Run]:
    """The runs, which wait, in order."""
    body = {"workflow": workflow, "recipients": recipients, "data": {}, **given}
    uid = decoded(api.post("/trigger/", body), 202)["message_id"]
    return list(Run.objects.filter(invocation__uid=uid).order_by("pk"))


def cancelled(api: Caller, **filters: Any) -> list[str]:
    """The ids of the executions that the call says it cancelled."""
    answer = decoded(api.post(PATH, filters))
    assert list(answer) == ["execution_ids"]
    return sorted(answer["execution_ids"])


def ids(*runs: Run) -> list[str]:
    return sorted(str(run.uid) for run in runs)


def test_an_execution_is_called_off_by_its_id(api: Caller) -> None:
    run, other = trigger(api, "u1", "u2")
    assert cancelled(api, execution_id=str(run.uid)) == ids(run)
    assert (status(run), status(other)) == ("cancelled", "waiting")
    row = Cancellation.objects.get()
    assert (row.origin, row.actor, row.cancelled) == ("suprsend", "key/backend", 1)
    make_due(run)
    assert start() == []
    assert cancelled(api, execution_id=str(run.uid)) == []


def test_recipients_are_matched_by_id_or_by_any_address(api: Caller) -> None:
    known = {"distinct_id": "u1", "$email": ["a@b.co", "c@d.co"], "$sms": ["+1555"]}
    first = trigger(api, known, "u2", "u3")
    later = trigger(api, "u1")  # known by its address from before
    nameless = trigger(api, {"$email": "e@f.co"})
    assert cancelled(api, recipients=["C@d.co", "u3"]) == ids(first[0], later[0], first[2])
    assert cancelled(api, recipients=["e@f.co", "nobody"]) == ids(*nameless)
    assert [status(run) for run in first] == ["cancelled", "waiting", "cancelled"]
    phoned = trigger(api, "u1")
    assert cancelled(api, recipients=["+1555"]) == ids(*phoned)


def test_what_a_trigger_says_that_started_nothing_leads_to_nobody(api: Caller) -> None:
    (run,) = trigger(api, "u1", **{"$idempotency_key": "ik"})
    told = {"workflow": "one", "recipients": [{"distinct_id": "u1", "$email": "a@b.co"}], "data": {}}
    assert suprsend_refused(api.post("/trigger/", {**told, "workflow": "nope"}))[0] == 404
    assert suprsend_refused(api.post("/trigger/", {**told, "cancellation_key": ""}))[0] == 400
    decoded(api.post("/trigger/", {**told, "$idempotency_key": "ik"}), 202)
    assert (Contact.objects.count(), Recipient.objects.count()) == (0, 0)
    assert cancelled(api, recipients=["a@b.co"]) == []
    assert status(run) == "waiting"
    decoded(api.post("/trigger/", told), 202)
    assert str(run.uid) in cancelled(api, recipients=["a@b.co"])


def test_an_address_of_another_environment_names_nobody(api: Caller, make_key: Any) -> None:
    stranger = Caller(make_key("cancel", environment="test"))
    runs = trigger(api, {"distinct_id": "u1", "$email": "a@b.co"})
    assert cancelled(stranger, recipients=["a@b.co", "u1"]) == []
    assert status(runs[0]) == "waiting"


def test_an_address_of_too_many_is_refused_not_cut_short(
    api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automations.api.suprsend.cancels.MOST_FOUND", 1)
    runs = trigger(api, *({"distinct_id": f"u{n}", "$email": "all@b.co"} for n in range(2)))
    assert suprsend_refused(api.post(PATH, {"recipients": ["all@b.co"]}))[:2] == (400, "bad_request")
    assert [status(run) for run in runs] == ["waiting", "waiting"]


FILTERS: dict[str, Any] = {
    "recipients": ["u1"],
    "idempotency_key": "ik",
    "workflow_slug": "one",
    "tenant_id": "t",
    "cancellation_key": "ck",
}


def triggers(api: Caller) -> dict[str, list[Run]]:
    """One run that all the filters match; and for each of them, one that it alone leaves out."""

    def trigger_with(**changed: Any) -> list[Run]:
        given = {**FILTERS, **changed}
        return trigger(
            api, *given["recipients"], workflow=given["workflow_slug"], tenant_id=given["tenant_id"],
            cancellation_key=given["cancellation_key"], **{"$idempotency_key": given["idempotency_key"]},
        )  # fmt: skip

    made = {"all": trigger_with()}
    # A key that is in force starts no second run.
    made["idempotency_key"] = trigger_with(idempotency_key="other")
    for name, value in {
        "recipients": ["u2"], "workflow_slug": "two", "tenant_id": "t2", "cancellation_key": "ck2",
    }.items():  # fmt: skip
        run_of_key = trigger_with(**{name: value, "idempotency_key": f"ik-{name}"})
        made[name] = run_of_key
    return made


@pytest.mark.parametrize("names", [*combinations(FILTERS, 1), *combinations(FILTERS, 2), tuple(FILTERS)])
def test_filters_are_anded(api: Caller, names: tuple[str, ...]) -> None:
    made = triggers(api)
    left_out = {name for name in names if name != "idempotency_key"}
    hit = [run for name, runs in made.items() if name not in left_out for run in runs]
    if "idempotency_key" in names:
        hit = made["all"]
    assert cancelled(api, **{name: FILTERS[name] for name in names}) == ids(*hit)
    assert {str(run.uid) for runs in made.values() for run in runs if status(run) == "cancelled"} == set(
        ids(*hit)
    )


def test_a_run_with_such_a_token_is_not_one_with_the_key(api: Caller) -> None:
    by_token, by_key = run_of(invoke(DELAY, token="ck")), run_of(invoke(DELAY, token="t", key="ck"))
    assert cancelled(api, cancellation_key="ck") == ids(by_key)
    assert (status(by_token), status(by_key)) == ("waiting", "cancelled")


def test_a_workflow_is_named_by_its_alias_too(api: Caller) -> None:
    runs = trigger(api, "u1") + trigger(api, "u1", workflow="two")
    assert cancelled(api, workflow_slug="Workflow One") == ids(runs[0])


@pytest.mark.parametrize(
    "nobody",
    [
        {"execution_id": "dsl_123"},
        {"execution_id": "0199d3f2-0000-7000-8000-000000000001"},
        {"workflow_slug": "nope"},
        {"idempotency_key": "nope"},
        {"tenant_id": "nope"},
        {"cancellation_key": "nope"},
    ],
)
def test_what_matches_nothing_cancels_nothing_also_beside_others(api: Caller, nobody: dict[str, str]) -> None:
    runs = trigger(api, "u1", tenant_id="t")
    assert cancelled(api, **nobody) == []
    assert cancelled(api, **nobody, recipients=["u1"]) == []
    assert [status(run) for run in runs] == ["waiting"]
    assert Cancellation.objects.count() == 2


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b'{"recipients": []}', b'{"recipients": null, "execution_id": null}', b'{"reason": "x"}',
        b'{"workflow": "one"}',
    ],
)  # fmt: skip
def test_without_a_filter_nothing_is_cancelled_and_the_answer_is_the_documented_one(
    api: Caller, body: bytes
) -> None:
    runs = trigger(api, "u1")
    response = api.send("POST", PATH, body)
    assert (response.status_code, json.loads(response.content)) == (400, NO_FILTER)
    assert response["Content-Type"] == "application/json"
    assert (status(runs[0]), Cancellation.objects.count()) == ("waiting", 0)


@pytest.mark.parametrize(
    "body",
    [
        {"execution_id": ""},
        {"execution_id": 5},
        {"recipients": "u1"},
        {"recipients": [""]},
        {"recipients": [None]},
        {"recipients": [{"distinct_id": "u1"}]},
        {"recipients": ["u"] * 101},
        {"tenant_id": [], "recipients": ["u1"]},
    ],
)
def test_what_does_not_fit_cancels_nothing(api: Caller, body: dict[str, Any]) -> None:
    runs = trigger(api, "u1")
    assert suprsend_refused(api.post(PATH, body))[:2] == (400, "bad_request")
    assert status(runs[0]) == "waiting"


@pytest.mark.parametrize("path", [PATH.rstrip("/"), "/compat/suprsend" + PATH])
def test_it_goes_by_any_of_its_addresses(api: Caller, path: str) -> None:
    (run,) = trigger(api, "u1")
    assert decoded(api.post(path, {"recipients": ["u1"]})) == {"execution_ids": [str(run.uid)]}


def test_only_those_that_this_call_cancelled_are_named(api: Caller) -> None:
    finished = run_of(invoke(SEND, recipients=["u1"]))
    work_off()
    before, left = trigger(api, "u1", cancellation_key="x") + trigger(api, "u1")
    assert cancelled(api, cancellation_key="x") == ids(before)
    assert cancelled(api, recipients=["u1"]) == ids(left)
    assert status(finished) == "completed"
    row = Cancellation.objects.latest("pk")
    assert (row.cancelled, row.already_finished) == (1, 2)


def test_a_step_under_way_counts_as_cancelled(api: Caller) -> None:
    run = run_of(invoke(SEND, DELAY, recipients=["u1"]))
    start()
    assert cancelled(api, recipients=["u1"]) == ids(run)
    receipt = Cancellation.objects.get()
    assert [entry["run"] for entry in receipt.in_flight] == [str(run.uid)]


def test_a_tenant_of_many_runs_is_called_off_by_a_bar(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automations.cancellation.AT_ONCE", 1)
    runs = trigger(api, "u1", "u2", "u3", tenant_id="t")
    spared = trigger(api, "u1", tenant_id="t2") + trigger(api, "u1")
    assert cancelled(api, tenant_id="t") == ids(*runs)
    row = Cancellation.objects.get()
    assert (row.bar, row.swept_at) == ("tenant:t", None)
    assert [status(run) for run in [*runs, *spared]] == ["cancelled"] * 3 + ["waiting"] * 2
    make_due(*runs)
    assert start() == []
    assert production().automations.count() == 2
