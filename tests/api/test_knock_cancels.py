"""Knock's cancel: by key within a workflow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automations.models import Cancellation
from tests.api.conftest import Caller, knock_refused
from tests.scenes import DELAY, SEND, invoke, make_due, production, publish, run_of, start, status, work_off

pytestmark = pytest.mark.django_db
PATH = "/v1/workflows/one/cancel"
OLD = "/v1/notify/cancel"
OBJECT = {"id": "p1", "collection": "projects"}


@pytest.fixture(autouse=True)
def workflows(db: None) -> None:
    publish("one", {"steps": [DELAY, SEND]}, alias="One/1")
    publish("two", {"steps": [DELAY, SEND]})


def trigger(api: Caller, *recipients: Any, workflow: str = "one", key: str = "ck") -> list[str]:
    """The ids of the runs, which wait."""
    body = {"recipients": recipients, "cancellation_key": key}
    answer = api.post(f"/v1/workflows/{workflow}/trigger", body)
    uid = json.loads(answer.content)["workflow_run_id"]
    return [run["id"] for run in api.get(f"/api/v1/invocations/{uid}")["runs"]]


def statuses(api: Caller, runs: list[str]) -> list[str]:
    return [api.get(f"/api/v1/runs/{run}")["status"] for run in runs]


def cancelled(api: Caller, body: dict[str, Any], path: str = PATH, **headers: str) -> None:
    """The call succeeded, and says nothing."""
    response = api.post(path, body, **headers)
    assert (response.status_code, response.content) == (204, b"")


def test_runs_of_the_workflow_with_the_key_are_called_off_and_no_others(api: Caller) -> None:
    mine = trigger(api, "u1", "u2")
    spared = trigger(api, "u1", workflow="two") + trigger(api, "u1", key="ck2")
    cancelled(api, {"cancellation_key": "ck", "recipients": None}, X_Request_ID="req-1")
    assert statuses(api, [*mine, *spared]) == ["cancelled"] * 2 + ["waiting"] * 2
    row = Cancellation.objects.get()
    assert (row.origin, row.actor, row.request_id, row.cancelled) == ("knock", "key/backend", "req-1", 2)
    assert (row.filter["key"], row.filter["automation"]) == ("ck", "one")


def test_later_runs_with_the_key_go_on(api: Caller) -> None:
    (before,) = trigger(api, "u1")
    cancelled(api, {"cancellation_key": "ck"})
    (after,) = trigger(api, "u1")
    assert statuses(api, [before, after]) == ["cancelled", "waiting"]


def test_no_further_step_starts(api: Caller) -> None:
    run = run_of(invoke(definition=None, automation="one", key="ck"))
    cancelled(api, {"cancellation_key": "ck"})
    make_due(run)
    assert start() == []


def test_recipients_narrow_it(api: Caller) -> None:
    runs = trigger(api, "u1", "u2", OBJECT, {**OBJECT, "collection": "p"})
    cancelled(api, {"cancellation_key": "ck", "recipients": ["u1", OBJECT, "nobody"]})
    assert statuses(api, runs) == ["cancelled", "waiting", "cancelled", "waiting"]


def test_a_run_with_such_a_token_is_not_one_with_the_key(api: Caller) -> None:
    publish("three", {"steps": [DELAY, SEND], "cancellation_token": "{{data.order}}"})
    run = run_of(invoke(definition=None, automation="three", data={"order": "ck"}))
    mine = run_of(invoke(definition=None, automation="three", data={"order": "o"}, key="ck"))
    assert (run.token, mine.token) == ("ck", "o")
    cancelled(api, {"cancellation_key": "ck"}, "/v1/workflows/three/cancel")
    assert (status(run), status(mine)) == ("waiting", "cancelled")
    cancelled(api, {"name": "three", "cancelation_key": "ck"}, OLD)
    assert status(run) == "waiting"


def test_a_cancel_by_token_finds_a_run_by_its_key_too(api: Caller) -> None:
    run = run_of(invoke(definition=None, automation="one", key="ck"))
    body = {"automation": {"steps": [{"action": "cancel", "cancelation_token": "ck"}]}}
    (other,) = trigger(api, "u1")
    assert api.post("/automations/invoke", body).status_code == 200
    assert (status(run), statuses(api, [other])) == ("cancelled", ["cancelled"])


@pytest.mark.parametrize("path", [PATH + "/", "/compat/knock" + PATH, "/v1/workflows/One%2F1/cancel"])
def test_it_goes_by_any_of_its_addresses(api: Caller, path: str) -> None:
    runs = trigger(api, "u1")
    cancelled(api, {"cancellation_key": "ck"}, path)
    assert statuses(api, runs) == ["cancelled"]


def test_the_form_of_before_2022_means_the_same(api: Caller) -> None:
    runs = trigger(api, "u1", "u2")
    cancelled(api, {"name": "one", "cancelation_key": "ck", "recipients": ["u1"]}, OLD)
    assert statuses(api, runs) == ["cancelled", "waiting"]


def test_nothing_to_cancel_is_a_success_like_any_other(api: Caller) -> None:
    run = run_of(invoke(SEND, key="ck"))
    work_off()
    cancelled(api, {"cancellation_key": "ck"})
    cancelled(api, {"cancellation_key": "nobody"})
    assert (status(run), Cancellation.objects.count()) == ("completed", 2)


def test_an_idempotency_key_means_nothing(api: Caller) -> None:
    cancelled(api, {"cancellation_key": "ck"}, Idempotency_Key="stainless-python-retry-1")
    runs = trigger(api, "u1")
    cancelled(api, {"cancellation_key": "ck"}, Idempotency_Key="stainless-python-retry-1")
    assert statuses(api, runs) == ["cancelled"]


def test_a_disabled_workflow_can_still_be_called_off(api: Caller) -> None:
    runs = trigger(api, "u1")
    production().automations.update(disabled_at="2026-01-01T00:00:00Z")
    cancelled(api, {"cancellation_key": "ck"})
    assert statuses(api, runs) == ["cancelled"]


@pytest.mark.parametrize(
    ("body", "field", "kind"),
    [
        ({}, "cancellation_key", "required"),
        ({"cancellation_key": None}, "cancellation_key", "required"),
        ({"cancellation_key": " "}, "cancellation_key", "invalid"),
        ({"cancellation_key": 5}, "cancellation_key", "invalid"),
        ({"cancellation_key": "ck", "recipients": []}, "recipients", "empty_list"),
        ({"cancellation_key": "ck", "recipients": [None]}, "recipients.0", "required"),
        ({"cancellation_key": "ck", "recipients": [{"collection": "c"}]}, "recipients.0.id", "required"),
    ],
)
def test_what_might_mean_more_runs_than_meant_cancels_none(
    api: Caller, body: dict[str, Any], field: str, kind: str
) -> None:
    runs = trigger(api, "u1")
    response = api.post(PATH, body)
    assert knock_refused(response)[:2] == (422, "invalid_params")
    told = [(error["field"], error["type"]) for error in json.loads(response.content)["errors"]]
    assert (told, statuses(api, runs)) == ([(field, kind)], ["waiting"])


def test_an_unknown_workflow_is_404(api: Caller) -> None:
    response = api.post("/v1/workflows/nobody/cancel", {"cancellation_key": "ck"})
    assert knock_refused(response) == (404, "workflow_missing", "there is no workflow “nobody”")
    response = api.post("/v1/workflows/a%00b/cancel", {"cancellation_key": "ck"})
    assert knock_refused(response)[:2] == (404, "workflow_missing")
