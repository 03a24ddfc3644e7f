"""Knock's trigger, in its form of today and in that of before 2022."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from automations.models import Invocation, LiveRun, Recipient, Run, database_now
from tests.api.conftest import Caller, decoded, knock_refused, suprsend_refused
from tests.captured import Captured
from tests.scenes import DELAY, SEND, production, publish, status, work_off

pytestmark = pytest.mark.django_db
PATH = "/v1/workflows/delayed/trigger"


@pytest.fixture(autouse=True)
def delayed(db: None) -> None:
    publish("delayed", {"steps": [DELAY, SEND]}, alias="delayed key/1")


def triggered(api: Caller, body: dict[str, Any], path: str = PATH, **headers: str) -> Invocation:
    """The invocation whose id the answer gave."""
    answer = decoded(api.post(path, body, **headers))
    assert list(answer) == ["workflow_run_id"]
    return Invocation.objects.get(uid=UUID(answer["workflow_run_id"]))


def errors(response: Any) -> list[tuple[str, str]]:
    """The fields and types of a 422."""
    assert knock_refused(response)[:2] == (422, "invalid_params")
    return [(error["field"], error["type"]) for error in json.loads(response.content)["errors"]]


def test_a_workflow_runs_once_for_each_recipient_under_one_id(api: Caller) -> None:
    body = {
        "recipients": [
            "user_1",
            {"id": "user_2", "email": "e@x.y", "name": None},
            {"id": "p/1", "collection": "pro jects", "title": "P"},
        ],
        "actor": {"id": "a", "email": "a@x.y"},
        "cancellation_key": "ck-1",
        "data": {"n": 1},
        "tenant": {"id": "t1", "name": "T"},
    }
    invocation = triggered(api, body)
    assert (invocation.source, invocation.dialect, invocation.data) == (
        "trigger/delayed",
        "knock",
        {"n": 1},
    )
    assert (invocation.performer, invocation.tenant, invocation.skips_delays) == ("a", "t1", False)
    assert list(Run.objects.order_by("pk").values_list("recipient", "profile", "key")) == [
        ("user_1", {}, "ck-1"),
        ("user_2", {"email": "e@x.y", "name": None}, "ck-1"),
        ("object:pro%20jects/p/1", {"title": "P"}, "ck-1"),
    ]
    assert set(LiveRun.objects.values_list("tenant", flat=True)) == {"t1"}


def test_whoever_is_named_twice_has_one_run(api: Caller) -> None:
    project = {"id": "u", "collection": "projects"}
    triggered(api, {"recipients": ["u", project, {"id": "u", "n": 1}, {**project, "n": 2}]})
    runs = Run.objects.order_by("pk").values_list("recipient", "profile")
    assert list(runs) == [("u", {"n": 1}), ("object:projects/u", {"n": 2})]


def test_what_is_said_of_actor_and_tenant_is_kept_as_what_is_said_of_recipients(api: Caller) -> None:
    Recipient.objects.create(
        environment=production(),
        key="a",
        profile={"plan": "pro"},
        created_at=database_now(),
        updated_at=database_now(),
    )
    body = {
        "recipients": ["acme"],
        "actor": {"id": "a", "email": "a@x.y"},
        "tenant": {"id": "acme", "name": "Acme"},
    }
    invocation = triggered(api, body)
    assert (invocation.performer, invocation.tenant) == ("a", "acme")
    assert dict(Recipient.objects.values_list("key", "profile")) == {
        "a": {"plan": "pro", "email": "a@x.y"}, "object:%24tenants/acme": {"name": "Acme"},
    }  # fmt: skip
    assert Run.objects.get().profile == {}
    triggered(api, {"recipients": ["u"], "tenant": {"id": "p", "collection": "projects", "n": 1}})
    assert Recipient.objects.get(key="object:projects/p").profile == {"n": 1}
    too_long = {"recipients": ["u"], "tenant": {"id": "x" * 250, "n": 1}}
    assert errors(api.post(PATH, too_long)) == [("tenant", "too_long")]


def test_an_actor_and_a_tenant_without_properties_cost_no_statement(api: Caller) -> None:
    triggered(api, {"recipients": [{"id": "u", "n": 1}]})  # so that something is stored
    costs = []
    for others in ({}, {"actor": "a", "tenant": {"id": "t"}}):
        triggered(api, {"recipients": ["u"], **others})
        with Captured() as captured:
            triggered(api, {"recipients": ["u"], **others})
        costs.append(len(captured))
    assert costs[0] == costs[1]


@pytest.mark.parametrize("name", ["delayed", "delayed%20key%2F1", "delayed key/1"])
@pytest.mark.parametrize("prefix", ["", "/compat/knock"])
def test_a_workflow_is_named_by_key_or_alias_with_and_without_the_prefix(
    api: Caller, prefix: str, name: str
) -> None:
    path = f"{prefix}/v1/workflows/{quote(name, safe='%')}/trigger"
    assert triggered(api, {"recipients": ["u"]}, path).automation.key == "delayed"


def test_nulls_are_absent_and_the_query_is_not_read(api: Caller) -> None:
    body = {
        "actor": None, "recipients": ["u1"], "data": {"x": 1}, "cancellation_key": None, "tenant": None,
        "settings": None,
    }  # fmt: skip
    invocation = triggered(api, body, f"{PATH}?actor=a&recipients=u9&data=x&cancellation_key=ck")
    run = Run.objects.get()
    assert (invocation.performer, invocation.tenant, run.key, run.recipient) == (None, None, None, "u1")


def test_delays_are_passed_over_if_asked(api: Caller) -> None:
    publish("two", {"steps": [DELAY, SEND, DELAY, {**SEND, "id": "last"}]})
    triggered(api, {"recipients": ["u"], "settings": {"skip_delay": True}}, "/v1/workflows/two/trigger")
    run = run_of_newest()
    assert (status(run), run.live.position) == ("waiting", "1")
    assert work_off() == 2
    shown = api.get(f"/api/v1/runs/{run.uid}")
    assert shown["status"] == "completed"
    assert [step["status"] for step in shown["steps"]] == ["skipped", "completed", "skipped", "completed"]
    assert [step["skip_reason"] for step in shown["steps"]][::2] == ["delays_skipped"] * 2


def test_a_replay_of_such_a_run_passes_over_them_too(api: Caller) -> None:
    triggered(api, {"recipients": ["u"], "settings": {"skip_delay": True}})
    work_off()
    answer = api.post(f"/api/v1/runs/{run_of_newest().uid}/replay", {})
    assert answer.status_code == 201
    assert (run_of_newest().live.position, work_off()) == ("1", 1)


def run_of_newest() -> Run:
    return Run.objects.with_state().order_by("-pk")[0]


def test_others_wait_as_ever(api: Caller) -> None:
    triggered(api, {"recipients": ["u"], "settings": {"skip_delay": False}})
    assert (run_of_newest().live.position, work_off()) == ("1", 0)


def test_the_same_key_again_is_answered_alike_and_runs_nothing(api: Caller) -> None:
    body, key = {"recipients": ["u"]}, "stainless-python-retry-1"
    first = api.post(PATH, body, Idempotency_Key=key)
    again = api.post(PATH, body, Idempotency_Key=key, X_Stainless_Retry_Count="1")
    assert again["Original-X-Request-ID"] == first["X-Request-ID"] != again["X-Request-ID"]
    assert "Original-X-Request-ID" not in first
    assert (decoded(first), "Idempotent-Replayed" in first) == (decoded(again), False)
    assert (again["Idempotent-Replayed"], Run.objects.count()) == ("true", 1)
    other = api.post(PATH, {"recipients": ["v"]}, Idempotency_Key=key)
    assert errors(other) == [("", "idempotency_key_reused")]
    elsewhere = api.post("/v1/notify", {"name": "delayed", **body}, Idempotency_Key=key)
    assert errors(elsewhere) == [("", "idempotency_key_reused")]
    assert Run.objects.count() == 1


@pytest.mark.parametrize("spelling", ["cancelation_key", "cancellation_key"])
def test_the_form_of_before_2022_means_the_same(api: Caller, spelling: str) -> None:
    body = {"name": "delayed key/1", "actor": "a", "recipients": ["u"], "data": {"x": 1}, spelling: "ck"}
    invocation = triggered(api, body, "/v1/notify")
    run = Run.objects.get()
    assert (invocation.performer, invocation.data, run.recipient, run.key) == ("a", {"x": 1}, "u", "ck")
    assert errors(api.post("/v1/notify", {"recipients": ["u"]})) == [("name", "required")]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, [("recipients", "required")]),
        ({"recipients": []}, [("recipients", "required")]),
        ({"recipients": "u"}, [("recipients", "invalid")]),
        ({"recipients": ["u"] * 1001}, [("recipients", "too_many")]),
        ({"recipients": [None]}, [("recipients.0", "required")]),
        ({"recipients": ["u", {"email": "e"}]}, [("recipients.1.id", "required")]),
        ({"recipients": [5]}, [("recipients.0", "invalid")]),
        ({"recipients": [{"id": "x" * 200, "collection": "c" * 60}]}, [("recipients.0.id", "too_long")]),
        ({"recipients": ["u"], "data": []}, [("data", "invalid")]),
        ({"recipients": ["u"], "data": {"x": "x" * 300_000}}, [("data", "data_too_large")]),
        ({"recipients": ["u"], "cancellation_key": ""}, [("cancellation_key", "invalid")]),
        ({"recipients": ["u"], "settings": {"sandbox_mode": True}}, [("settings.sandbox_mode", "not_supported")]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(api: Caller, body: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert errors(api.post(PATH, body)) == found
    assert Invocation.objects.count() == 0


@pytest.mark.parametrize(
    ("entry", "message"),
    [(5, "“recipients[1]” must be a non-empty text"), (None, "“recipients[1]” is required")],
)
def test_an_entry_of_a_list_is_called_by_the_list_s_name(api: Caller, entry: Any, message: str) -> None:
    assert knock_refused(api.post(PATH, {"recipients": ["0", entry]}))[2] == message
    refused = suprsend_refused(api.post("/trigger/", {"workflow": "delayed", "recipients": ["0", entry]}))
    assert refused == (400, "bad_request", f"{message} (/recipients/1)")
    native = api.post("/api/v1/invocations", {"automation": "delayed", "recipients": ["0", entry]})
    assert json.loads(native.content)["detail"] == message


def test_an_unknown_and_an_inactive_workflow_are_told_apart(api: Caller) -> None:
    for name in ("nobody", "x" * 300, "a%00b"):
        response = api.post(f"/v1/workflows/{name}/trigger", {"recipients": ["u"]})
        assert knock_refused(response)[:2] == (404, "workflow_missing")
    named = api.post("/v1/workflows/the automation/trigger", {"recipients": ["u"]})
    assert knock_refused(named)[2] == "there is no workflow “the automation”"
    production().automations.update(disabled_at="2026-01-01T00:00:00Z")
    for path, body, field in ((PATH, {}, ""), ("/v1/notify", {"name": "delayed"}, "name")):
        response = api.post(path, {"recipients": ["u"], **body})
        assert knock_refused(response)[:2] == (422, "workflow_inactive")
        (error,) = json.loads(response.content)["errors"]
        assert (error["field"], error["type"]) == (field, "disabled")
        assert error["message"] == "the workflow “delayed” is disabled"
    production().automations.update(disabled_at=None, published=None)
    said = knock_refused(api.post("/v1/notify", {"recipients": ["u"], "name": "delayed"}))[2]
    assert said == "the workflow “delayed” has no published version"


def test_a_token_without_its_field_is_named(api: Caller) -> None:
    publish("tokened", {"cancellation_token": "refs.data.user_id", "steps": [DELAY]})
    response = api.post("/v1/workflows/tokened/trigger", {"recipients": ["u"]})
    assert errors(response) == [("data.user_id", "cancellation_token_unresolved")]


def test_a_body_of_megabytes_is_read(api: Caller) -> None:
    padding = "x" * (9 * 1024 * 1024)
    assert triggered(api, {"recipients": ["u"], "something_newer": padding}).run_count == 1


@pytest.mark.parametrize("path", ["/v1/schedules", "/v1/schedules/bulk/create", "/v1/users/u/schedules"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_schedules_are_not_here(api: Caller, method: str, path: str) -> None:
    assert knock_refused(api.send(method, path, b'{"schedule_ids": []}'))[:2] == (404, "not_found")
