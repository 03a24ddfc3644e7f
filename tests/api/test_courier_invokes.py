"""Courier's invoke calls."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail

from automations.models import Automation, Invocation, LiveRun, Run, database_now, definitions
from tests.api.conftest import Caller, courier_refused, decoded
from tests.scenes import DELAY, SEND, invoke, publish, run_of, status, work_off

pytestmark = pytest.mark.django_db
AD_HOC = "/automations/invoke"
STEPS = {"automation": {"steps": [DELAY]}}


def invalid(message: str) -> tuple[int, str, str]:
    return 400, "invalid_request_error", message


def run_id(answer: Any) -> str:
    """The one thing that an invoke answers with."""
    assert answer["Content-Type"] == "application/json"
    body = decoded(answer)
    assert list(body) == ["runId"]
    return str(body["runId"])


def test_the_tutorials_cancel_has_cancelled_when_it_answers(api: Caller) -> None:
    hit, spared = run_of(invoke(DELAY, token="user_123")), run_of(invoke(DELAY, token="user_1234"))
    step = {"action": "cancel", "cancelation_token": "user_123"}
    own = run_id(api.post(AD_HOC, {"automation": {"steps": [step]}}))
    assert (status(hit), status(spared)) == ("cancelled", "waiting")
    assert own not in (str(hit.uid), str(spared.uid))
    assert Run.objects.get(uid=own).public_status == "completed"


def test_steps_brought_along_become_a_run(api: Caller) -> None:
    body = {
        "automation": {"cancelation_token": "refs.data.id", "steps": [DELAY, {**SEND, "brand": "b"}]},
        "brand": "b", "data": {"id": "tok"}, "profile": {"email": "a@b.c"}, "recipient": "u1", "template": "T1",
    }  # fmt: skip
    run = Run.objects.select_related("invocation").get(uid=run_id(api.post(AD_HOC, body)))
    assert (run.token, run.recipient, run.source, run.profile) == ("tok", "u1", "invoke", {"email": "a@b.c"})
    assert (run.invocation.dialect, run.invocation.actor) == ("courier", "key/backend")


def test_nulls_count_as_absent_everywhere(api: Caller) -> None:
    step = {"action": "delay", "duration": "PT1H", "until": None, "if": None, "ref": None}
    body = {
        "automation": {"cancelation_token": None, "steps": [step]}, "brand": None, "data": None, "profile": None,
        "recipient": None, "template": None,
    }  # fmt: skip
    run = Run.objects.get(uid=run_id(api.post(AD_HOC, body)))
    assert (run.token, run.recipient, run.profile) == (None, None, {})


def test_what_a_newer_sdk_may_add_is_ignored(api: Caller) -> None:
    body = {"automation": {"steps": [{**DELAY, "shiny": 1}], "new": True}, "extra": {"x": 1}}
    assert status(Run.objects.get(uid=run_id(api.post(AD_HOC, body)))) == "waiting"


def test_typed_steps_of_sdk_6_come_without_their_action(api: Caller) -> None:
    hit = run_of(invoke(DELAY, token="tok-1"))
    run_id(
        api.post(AD_HOC, {"automation": {"steps": [{"cancelation_token": "tok-1"}, {"duration": "PT1H"}]}})
    )
    assert status(hit) == "cancelled"


def test_an_accessor_is_the_value_at_its_path(api: Caller) -> None:
    hit = run_of(invoke(DELAY, token="tok-1"))
    steps = [
        {"action": "cancel", "cancelation_token": {"$ref": "data.old"}, "if": {"$ref": "data.go"}},
        {"action": "send", "recipient": {"$ref": "profile.id"}, "data": {"n": {"$ref": "data.n"}}, **SEND},
        {"action": "delay", "duration": {"$ref": "refs.data.wait"}},
    ]
    automation = {"cancelation_token": {"$ref": "data.token"}, "steps": steps}
    data = {"old": "tok-1", "token": "tok-2", "wait": "2 hours", "n": 5, "go": True}
    body = {"automation": automation, "data": data, "profile": {"id": "u9"}}
    run = Run.objects.get(uid=run_id(api.post(AD_HOC, body)))
    assert (status(hit), run.token) == ("cancelled", "tok-2")
    work_off()
    assert status(run) == "waiting"
    live = LiveRun.objects.get(pk=run.pk)
    assert timedelta(hours=1, minutes=59) < live.due_at - database_now() <= timedelta(hours=2)
    sent = run.events.get(step="1").data["output"]
    assert sent["recipient"] == "u9"


@pytest.mark.parametrize(
    "to",
    [
        {"list_id": "beta"}, {"audience_id": "a"}, {"phone_number": "+431"}, {"tenant_id": "t"}, {"slack": {}},
        {"users": [{"user_id": "u1"}]}, {"data": {"a": 1}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("action", [{"action": "send"}, {"action": "send-list", "list": "l"}])
def test_whom_we_cannot_reach_nobody_is_sent_to_instead(api: Caller, action: Any, to: dict[str, Any]) -> None:
    message = {"to": {**to, "email": None}, "content": {"title": "t", "body": "b"}}
    body = {"recipient": "victim", "automation": {"steps": [DELAY, {**action, "message": message}]}}
    (name,) = to
    said = f"“{name}” in “to” is not supported; it needs one of: email, webhook, apprise, user_id "
    refused = courier_refused(api.post(AD_HOC, body))
    assert refused == invalid(f"{said}(/automation/steps/1/message/to/{name})")
    assert Invocation.objects.count() == 0


def test_a_message_that_was_stored_with_such_a_to_fails_and_reaches_nobody(api: Caller) -> None:
    message = {"to": {"email": "a@b.co"}, "content": {"title": "t", "body": "b"}}
    body = {"recipient": "victim", "automation": {"steps": [{"action": "send", "message": message}]}}
    run = Run.objects.get(uid=run_id(api.post(AD_HOC, body)))
    Invocation.objects.update(definition={
        "steps": [{"action": "send", "message": {**message, "to": {"list_id": "beta"}}}],
    })  # fmt: skip
    definitions.forget()
    work_off()
    error = run.events.get(step="0").data["error"]
    assert (status(run), error["kind"], mail.outbox) == ("failed", "delivery", [])
    assert api.get("/api/v1/runs")["items"][0]["status"] == "failed"


def test_beside_an_address_what_is_not_known_is_ignored(api: Caller) -> None:
    message = {"to": {"user_id": "u9", "list_id": "beta"}, "content": {"title": "t", "body": "b"}}
    run_id(api.post(AD_HOC, {"automation": {"steps": [{"action": "send", "message": message}]}}))


@pytest.mark.parametrize("named", [{"delay": {"duration": 3_600_000}}, {"expiry": {"expires_in": "PT1H"}}])
@pytest.mark.parametrize("action", [{"action": "send"}, {"action": "send-list", "list": "l"}])
def test_when_a_message_is_to_go_is_not_passed_over(api: Caller, action: Any, named: dict[str, Any]) -> None:
    steps = [DELAY, {**action, "message": {"content": {"title": "t", "body": "b"}, **named}}]
    (name,) = named
    said = f"“{name}” is not supported yet (/automation/steps/1/message/{name})"
    assert courier_refused(api.post(AD_HOC, {"automation": {"steps": steps}})) == invalid(said)
    assert Invocation.objects.count() == 0


def test_how_a_message_is_to_go_at_courier_is_ignored(api: Caller) -> None:
    how = {
        "routing": {"method": "single", "channels": ["email"]}, "channels": {}, "providers": {}, "preferences": {},
        "metadata": {"tags": ["a"]}, "brand_id": "b", "timeout": {"message": 1}, "context": {"tenant_id": "t"},
        "delay": None,
    }  # fmt: skip
    message = {"content": {"title": "t", "body": "b"}, **how}
    run_id(api.post(AD_HOC, {"automation": {"steps": [{"action": "send", "message": message}]}}))


@pytest.mark.parametrize("accessor", [{"$ref": 5}, {"$ref": "data.x", "y": 1}, {}, {"ref": "data.x"}, []])
def test_what_is_no_accessor_is_refused(api: Caller, accessor: Any) -> None:
    body = {"automation": {"steps": [{"action": "delay", "duration": accessor}]}}
    message = "“duration” must be a non-empty text (/automation/steps/0/duration)"
    assert courier_refused(api.post(AD_HOC, body)) == invalid(message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "“automation” must be an object with “steps” (/automation)"),
        ({"automation": None}, "“automation” must be an object with “steps” (/automation)"),
        ({"automation": []}, "“automation” must be an object with “steps” (/automation)"),
        ({"automation": {}}, "“steps” must be a list with at least one step (/automation/steps)"),
        (
            {"automation": {"steps": [{"action": "wat"}]}},
            "action “wat” is not known; known are: cancel, delay, invoke, send, send-list, update-profile "
            "(/automation/steps/0/action)",
        ),
        (
            {"automation": {"steps": [{"action": "delay"}]}},
            "a delay needs either “duration” or “until” (/automation/steps/0/duration)",
        ),
        (
            {"automation": {"steps": [{"action": "cancel", "cancelation_token": ""}]}},
            "“cancelation_token” must be a non-empty text (/automation/steps/0/cancelation_token)",
        ),
        (
            {"automation": {"steps": [DELAY, {"action": "cancel"}]}},
            "a cancel step needs “cancelation_token”, “run_id” or “filter” "
            "(/automation/steps/1/cancelation_token)",
        ),
        (
            {"automation": {"steps": [{"action": "cancel", "cancellation_token": ""}]}},
            "“cancellation_token” must be a non-empty text (/automation/steps/0/cancellation_token)",
        ),
        (
            {"automation": {"cancelation_token": 5, "steps": [DELAY]}},
            "“cancelation_token” must be a non-empty text (/automation/cancelation_token)",
        ),
        ({**STEPS, "recipient": 5}, "“recipient” must be a non-empty text (/recipient)"),
        ({**STEPS, "data": []}, "“data” must be an object (/data)"),
        ({**STEPS, "profile": "p"}, "“profile” must be an object (/profile)"),
        ({**STEPS, "data": {"a": "x" * 262_144}}, "“data” may have at most 256 KiB (/data)"),
    ],
)
def test_what_cannot_be_run_is_a_400_that_names_the_field(api: Caller, body: Any, message: str) -> None:
    assert courier_refused(api.post(AD_HOC, body)) == invalid(message)
    assert Invocation.objects.count() == 0


def test_a_token_that_does_not_resolve_is_a_400_that_names_the_path(api: Caller) -> None:
    body = {"automation": {"cancelation_token": "refs.data.user_id", "steps": [DELAY]}}
    status_code, kind, message = courier_refused(api.post(AD_HOC, body))
    assert (status_code, kind) == (400, "invalid_request_error")
    assert message.endswith("(data.user_id) (/data/user_id)")
    body["automation"]["cancelation_token"] = "${true}"
    assert courier_refused(api.post(AD_HOC, body))[2].endswith("(/automation/cancelation_token)")
    assert Invocation.objects.count() == 0


@pytest.mark.parametrize("name", ["trial", "tmpl 1/ü", "F9ZTBSR8CJ4QKHQ4WGZ8TPFK1Q9E"])
def test_a_template_is_run_by_its_id_or_its_alias(api: Caller, name: str) -> None:
    publish(
        "trial",
        {"cancelation_token": "refs.data.id", "steps": [DELAY]},
        alias=None if name == "trial" else name,
    )
    for spelt in (name, name.replace("/", "%2F").replace(" ", "%20")):
        answer = api.post(f"/automations/{spelt}/invoke", {"recipient": None, "data": {"id": "tok"}})
        run = Run.objects.select_related("automation").get(uid=run_id(answer))
        assert run.automation is not None
        assert (run.automation.key, run.token, run.source) == ("trial", "tok", f"invoke/{name}")


def test_a_key_outranks_an_alias(api: Caller) -> None:
    publish("first", {"steps": [DELAY]})
    publish("second", {"steps": [DELAY]})
    Automation.objects.filter(key="first").update(alias="second")  # as could be given once
    run = Run.objects.select_related("automation").get(uid=run_id(api.post("/automations/second/invoke", {})))
    assert run.automation is not None
    assert run.automation.key == "second"


@pytest.mark.parametrize(
    "name", ["nobody", "runs", "invoke", "a%00b", "%0a", "x" * 256, "%F0%9F%98%80", "..", "a/b/c", "%ff"]
)
def test_an_unknown_template_is_not_found(api: Caller, name: str) -> None:
    status_code, kind, message = courier_refused(api.post(f"/automations/{name}/invoke", {"recipient": "u"}))
    assert (status_code, kind) == (404, "invalid_request_error")
    assert message in ("Automation not found", "there is nothing at this address")


def test_an_unpublished_or_disabled_template_is_a_400(api: Caller) -> None:
    body = {"key": "draft", "name": "Draft", "definition": {"steps": [DELAY]}}
    decoded(api.post("/api/v1/automations", body), 201)
    message = "the automation “draft” has no published version (/automation)"
    assert courier_refused(api.post("/automations/draft/invoke", {})) == invalid(message)
    decoded(api.post("/api/v1/automations/draft/publish", {}))
    decoded(api.post("/api/v1/automations/draft/disable", {}))
    message = "the automation “draft” is disabled (/automation)"
    assert courier_refused(api.post("/automations/draft/invoke", {})) == invalid(message)


def test_the_same_key_gives_the_same_run(api: Caller) -> None:
    publish("trial", {"steps": [DELAY]})
    publish("other", {"steps": [DELAY]})
    for path, body in ((AD_HOC, STEPS), ("/automations/trial/invoke", {"recipient": "u1"})):
        key = f"once {path}"
        first, again = (api.post(path, body, Idempotency_Key=key) for _ in range(2))
        assert run_id(again) == run_id(first)
        assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
        other = courier_refused(api.post(path, {**body, "data": {"a": 1}}, Idempotency_Key=key))
        assert other[:2] == (422, "invalid_request_error")
    reused = api.post(
        "/automations/other/invoke", {"recipient": "u1"}, Idempotency_Key="once /automations/trial/invoke"
    )
    assert reused.status_code == 422
    assert Run.objects.count() == 2


def test_the_dialects_do_not_share_their_keys(api: Caller) -> None:
    run_id(api.post(AD_HOC, STEPS, Idempotency_Key="once"))
    decoded(api.post("/api/v1/invocations", {"definition": {"steps": [DELAY]}}, Idempotency_Key="once"), 201)


def kept(api: Caller, expiration: str) -> timedelta:
    """How long an idempotency key with that x-idempotency-expiration is in force."""
    key = f"until {expiration}"
    run_id(api.post(AD_HOC, STEPS, Idempotency_Key=key, x_idempotency_expiration=expiration))
    until = Invocation.objects.get(idempotency_key=key).key_expires_at
    assert until is not None
    return until - database_now()


def test_an_idempotency_key_expires_when_it_is_told_to(api: Caller) -> None:
    soon = datetime.now(UTC) + timedelta(hours=2)
    margin = timedelta(minutes=1)
    for spelt in (soon.isoformat(), soon.strftime("%Y-%m-%dT%H:%M:%SZ"), str(int(time.time()) + 7200)):
        assert timedelta(hours=2) - margin < kept(api, spelt) <= timedelta(hours=2)
    for spelt in ("2 hours", "PT2H"):
        assert timedelta(hours=2) - margin < kept(api, spelt) <= timedelta(hours=2)
    for default in ("", "2020-01-01T00:00:00Z", "1577836800"):
        assert timedelta(hours=24) - margin < kept(api, default) <= timedelta(hours=24)
    assert timedelta(days=366) - margin < kept(api, "9999-01-01T00:00:00Z") <= timedelta(days=366)


@pytest.mark.parametrize("expiration", ["tomorrow", "1e9", "-1", "99999999999999", "2026-13-01", "\u0661"])
def test_an_expiration_that_is_no_moment_is_refused(api: Caller, expiration: str) -> None:
    response = api.post(AD_HOC, STEPS, Idempotency_Key="k", x_idempotency_expiration=expiration)
    assert courier_refused(response) == invalid(
        "x-idempotency-expiration must be epoch seconds or an ISO 8601 timestamp"
    )


def test_a_trailing_slash_is_no_other_address(api: Caller) -> None:
    publish("trial", {"steps": [DELAY]})
    assert api.post("/automations/trial/invoke/", {}).status_code == 200
    assert api.post("/automations/invoke/", STEPS).status_code == 200
