"""Who may call: keys, their scopes, and the wall between environments."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from automations.api import urls
from automations.api.shapes import dialect_of
from automations.models import SCOPES, ApiKey
from tests.api.conftest import Caller, courier_refused, decoded, refused, refused_at
from tests.captured import Captured
from tests.scenes import DELAY, cancel_runs, invoke, publish

pytestmark = pytest.mark.django_db
UID = "0199d3f2-0000-7000-8000-000000000001"

# Every address with, for each of its methods, the scope it takes. A new one without a row fails here.
ADDRESSES = {
    "/api/v1/automations": {"GET": "read", "POST": "write"},
    "/api/v1/automations/k": {"GET": "read"},
    "/api/v1/automations/k/draft": {"PUT": "write"},
    "/api/v1/automations/k/publish": {"POST": "write"},
    "/api/v1/automations/k/versions": {"GET": "read"},
    "/api/v1/automations/k/versions/1": {"GET": "read"},
    "/api/v1/automations/k/disable": {"POST": "write"},
    "/api/v1/automations/k/enable": {"POST": "write"},
    "/api/v1/automations/k/preview-token": {"POST": "read"},
    "/api/v1/preview-token": {"POST": "read"},
    "/api/v1/invocations": {"POST": "invoke"},
    f"/api/v1/invocations/{UID}": {"GET": "read"},
    "/api/v1/runs": {"GET": "read"},
    f"/api/v1/runs/{UID}": {"GET": "read"},
    f"/api/v1/runs/{UID}/events": {"GET": "read"},
    f"/api/v1/runs/{UID}/cancel": {"POST": "cancel"},
    f"/api/v1/runs/{UID}/explain-cancel": {"GET": "read"},
    f"/api/v1/runs/{UID}/replay": {"POST": "invoke"},
    f"/api/v1/runs/{UID}/reschedule": {"POST": "invoke"},
    f"/api/v1/runs/{UID}/run-now": {"POST": "invoke"},
    "/api/v1/cancellations": {"GET": "read", "POST": "cancel"},
    f"/api/v1/cancellations/{UID}": {"GET": "read"},
    "/api/v1/events": {"GET": "read", "POST": "cancel"},
    f"/api/v1/events/{UID}": {"GET": "read"},
    "/api/v1/recipients": {"GET": "read"},
    "/api/v1/recipients/u": {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "write"},
    "/api/v1/lists": {"GET": "read"},
    "/api/v1/lists/k": {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "write"},
    "/api/v1/message-templates": {"GET": "read", "POST": "write"},
    "/api/v1/message-templates/k": {"GET": "read", "PUT": "write", "DELETE": "write"},
    "/api/v1/message-templates/k/preview": {"POST": "read"},
    "/api/v1/providers": {"GET": "admin", "POST": "admin"},
    "/api/v1/providers/k": {"DELETE": "admin"},
    "/api/v1/webhooks": {"GET": "admin", "POST": "admin"},
    f"/api/v1/webhooks/{UID}": {"GET": "admin", "PATCH": "admin", "DELETE": "admin"},
    f"/api/v1/webhooks/{UID}/roll": {"POST": "admin"},
    f"/api/v1/webhooks/{UID}/test": {"POST": "admin"},
    f"/api/v1/webhooks/{UID}/deliveries": {"GET": "admin"},
    f"/api/v1/webhooks/{UID}/deliveries/{UID}/retry": {"POST": "admin"},
    f"/api/v1/cancellations/{UID}/near-misses": {"GET": "read"},
    f"/api/v1/cancellations/{UID}/undo": {"POST": "cancel"},
    "/automations/invoke": {"POST": "invoke"},
    "/automations/k/invoke": {"POST": "invoke"},
    "/automations/runs": {"GET": "read"},
    "/automations": {"GET": "read"},
    f"/automations/runs/{UID}": {"GET": "read"},
    f"/automations/runs/{UID}/steps": {"GET": "read"},
    "/journeys": {"GET": "read", "POST": "write"},
    "/journeys/k": {"GET": "read", "PUT": "write", "DELETE": "write"},
    "/journeys/k/invoke": {"POST": "invoke"},
    "/journeys/k/publish": {"POST": "write"},
    "/journeys/k/versions": {"GET": "read"},
    "/journeys/cancel": {"POST": "cancel"},
    "/journeys/runs": {"GET": "read"},
    f"/journeys/runs/{UID}": {"GET": "read"},
    f"/journeys/runs/{UID}/steps": {"GET": "read"},
    "/v1/workflows/k/trigger": {"POST": "invoke"},
    "/v1/workflows/k/cancel": {"POST": "cancel"},
    "/v1/workflow_recipient_runs": {"GET": "read"},
    f"/v1/workflow_recipient_runs/{UID}": {"GET": "read"},
    "/v1/notify": {"POST": "invoke"},
    "/v1/notify/cancel": {"POST": "cancel"},
    "/trigger/": {"POST": "invoke"},
    "/v1/workflow_run/cancel/": {"POST": "cancel"},
}
ADDRESSES |= {
    f"/compat/{dialect}{path}": scopes
    for path, scopes in ADDRESSES.items()
    if (dialect := dialect_of(path)) not in (None, "native")
}
WORDS = {
    401: {"native": "authentication_required", "courier": "authentication_error",
          "knock": "authentication_required", "suprsend": "unauthorized"},
    403: {"native": "missing_scope", "courier": "authorization_error", "knock": "missing_scope",
          "suprsend": "forbidden"},
}  # fmt: skip
CALLS = [(method, path, scope) for path, scopes in ADDRESSES.items() for method, scope in scopes.items()]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def test_every_address_stands_in_the_table() -> None:
    patterns = [pattern.pattern for pattern in urls.urlpatterns]
    first = [next(pattern for pattern in patterns if pattern.match(path[1:])) for path in ADDRESSES]
    assert len(patterns) == len(set(map(str, first))) + len(
        ["healthz", "readyz", "metrics", "schema", "schemas", "docs"]
    )


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
def test_without_a_key_nothing_answers_but_401(method: str, path: str, scope: str) -> None:
    response = Caller("").send(method, path)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    assert refused_at(path, response) == (401, WORDS[401][dialect_of(path) or ""])


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
def test_every_other_scope_together_is_not_the_right_one(
    make_key: Callable[..., str], method: str, path: str, scope: str
) -> None:
    others = [other for other in SCOPES if other not in (scope, "admin")]
    response = Caller(make_key(*others)).send(method, path)
    assert refused_at(path, response) == (403, WORDS[403][dialect_of(path) or ""])
    assert f"this API key lacks the scope “{scope}”" in response.content.decode("unicode_escape", "replace")


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
def test_the_right_scope_alone_is_enough(
    make_key: Callable[..., str], method: str, path: str, scope: str
) -> None:
    response = Caller(make_key(scope)).send(method, path)
    assert response.status_code not in (401, 403, 405)


@pytest.mark.parametrize("path", ADDRESSES)
def test_other_methods_are_answered_405_with_those_allowed(api: Caller, path: str) -> None:
    for method in METHODS:
        if method not in ADDRESSES[path]:
            response = api.send(method, path)
            assert (method, response.status_code) == (method, 405)
            allowed = {word.strip() for word in response["Allow"].split(",")} - {"HEAD"}
            assert allowed == set(ADDRESSES[path])
            assert "html" not in response["Content-Type"]


def test_admin_holds_every_scope(make_key: Callable[..., str]) -> None:
    assert decoded(Caller(make_key("admin")).send("GET", "/api/v1/runs")) == {
        "items": [],
        "next_cursor": None,
    }


def test_a_wrong_revoked_or_expired_key_is_no_key(make_key: Callable[..., str]) -> None:
    past = timezone.now() - timedelta(seconds=1)
    good, expired, revoked = make_key("read"), make_key("read", expires_at=past), make_key("read")
    ApiKey.objects.filter(public_id=revoked.split("_")[2]).update(revoked_at=past)
    wrong = [
        good[:-1],
        good + "x",
        good.replace("production", "test"),
        "x",
        "cm_a_b_c",
        "cm_\0_b_c",
        "é",
        "a" * 10_000,
    ]
    for text in [expired, revoked, *wrong]:
        assert refused(Caller(text).send("GET", "/api/v1/runs")) == (
            401,
            "invalid_key",
            [("", "invalid_key")],
        )
    assert Caller(good).send("GET", "/api/v1/runs").status_code == 200


def test_a_revocation_holds_from_the_next_request_on(api: Caller) -> None:
    assert api.send("GET", "/api/v1/runs").status_code == 200
    ApiKey.objects.update(revoked_at=timezone.now())
    assert api.send("GET", "/api/v1/runs").status_code == 401


@pytest.mark.parametrize("header", ["bearer {}", "BEARER  {} "])
def test_the_scheme_is_spelt_as_one_likes(make_key: Callable[..., str], header: str) -> None:
    caller = Caller("")
    answer = caller.send("GET", "/api/v1/runs", Authorization=header.format(make_key("read")))
    assert answer.status_code == 200


@pytest.mark.parametrize("header", ["Basic {}", "{}", "Bearer", ""])
def test_another_scheme_is_no_key(make_key: Callable[..., str], header: str) -> None:
    response = Caller("").send("GET", "/api/v1/runs", Authorization=header.format(make_key("read")))
    assert refused(response)[:2] == (401, "authentication_required")


def test_couriers_old_packages_may_send_the_key_as_basic_credentials(make_key: Callable[..., str]) -> None:
    key = make_key("read")
    for user in (f"courier:{key}", f"{key}:", key, f":{key}"):
        header = f"Basic {base64.b64encode(user.encode()).decode()}"
        assert decoded(Caller("").send("GET", "/automations/runs", Authorization=header)) == {"runs": []}
    for credentials in ("", "!", "é", "eA==", "Og==", base64.b64encode(b"\xff:\xff").decode(), "x" * 9000):
        response = Caller("").send("GET", "/automations/runs", Authorization=f"Basic {credentials}")
        assert courier_refused(response) == (401, "authentication_error", "Unauthorized")


def test_a_key_costs_one_statement_and_its_use_is_noted_once_a_minute(api: Caller) -> None:
    path = "/api/v1/automations/k"
    with Captured() as usual:
        api.send("GET", path)
    assert len(usual) == 2  # the key, the automation
    long_ago = timezone.now() - timedelta(seconds=61)
    ApiKey.objects.update(last_used_at=long_ago)
    with Captured() as noted:
        api.send("GET", path)
    assert len(noted) == 3
    assert ApiKey.objects.get().last_used_at > long_ago + timedelta(seconds=60)  # type: ignore[operator]
    with Captured() as again:
        api.send("GET", path)
    assert len(again) == 2


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_connection_that_was_lost_since_the_last_request_is_made_anew_unasked(api: Caller) -> None:
    assert api.send("GET", "/api/v1/runs").status_code == 200
    if connection.vendor == "postgresql":
        lost = connection.connection
        with psycopg.connect(**connection.get_connection_params()) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [lost.info.backend_pid])
        vars(connection).update(health_check_enabled=True, health_check_done=False)  # as a request begins
    assert api.send("GET", "/api/v1/runs").status_code == 200
    assert connection.vendor != "postgresql" or connection.connection is not lost


def test_a_first_use_is_noted(make_key: Callable[..., str]) -> None:
    caller = Caller(make_key("read"))
    ApiKey.objects.update(last_used_at=None)
    caller.get("/api/v1/runs")
    assert ApiKey.objects.filter(last_used_at__isnull=False).count() == 1


def test_another_environment_is_not_there(make_key: Callable[..., str]) -> None:
    publish("k", {"steps": [DELAY]})
    accepted = invoke(DELAY, token="t")
    run, cancellation = accepted.runs[0]["id"], cancel_runs(token="nobody")
    stranger = Caller(make_key("read", "invoke", "cancel", "write", environment="test"))
    paths = {
        "/api/v1/automations/k": "automation_not_found",
        "/api/v1/automations/k/versions": "automation_not_found",
        "/api/v1/automations/k/versions/1": "automation_not_found",
        f"/api/v1/invocations/{accepted.invocation.uid}": "invocation_not_found",
        f"/api/v1/runs/{run}": "run_not_found",
        f"/api/v1/runs/{run}/events": "run_not_found",
        f"/api/v1/cancellations/{cancellation.pk}": "cancellation_not_found",
    }
    for path, code in paths.items():
        assert refused(stranger.send("GET", path)) == (404, code, [("", code)])
    for path in ("automations", "runs", "cancellations"):
        assert stranger.get(f"/api/v1/{path}") == {"items": [], "next_cursor": None}
    writes = ["draft", "publish", "disable", "enable", "preview-token"]
    body = json.dumps({"definition": {}}).encode()
    for write in writes:
        method = "PUT" if write == "draft" else "POST"
        response = stranger.send(method, f"/api/v1/automations/k/{write}", body if method == "PUT" else b"{}")
        assert refused(response)[:2] == (404, "automation_not_found")
    assert refused(stranger.post("/api/v1/invocations", {"automation": "k"}))[:2] == (
        404,
        "automation_not_found",
    )
    assert refused(stranger.send("POST", f"/api/v1/runs/{run}/cancel"))[:2] == (404, "run_not_found")
    receipt = decoded(stranger.post("/api/v1/cancellations", {"filter": {"token": "t", "run_ids": [run]}}))
    assert (receipt["matched"], receipt["cancelled"]) == (0, 0)


def test_another_environment_is_not_there_in_couriers_words(make_key: Callable[..., str]) -> None:
    publish("k", {"steps": [DELAY]})
    run = invoke(DELAY, token="t").runs[0]["id"]
    stranger = Caller(make_key("read", "invoke", "cancel", "write", environment="test"))
    not_found = (404, "invalid_request_error", "Run not found")
    for path in (f"/automations/runs/{run}", f"/automations/runs/{run}/steps", f"/journeys/runs/{run}"):
        assert courier_refused(stranger.send("GET", path)) == not_found
    assert courier_refused(stranger.post("/journeys/cancel", {"run_id": run})) == not_found
    gone = (404, "invalid_request_error", "Automation not found")
    assert courier_refused(stranger.post("/automations/k/invoke", {"recipient": None})) == gone
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/versions"), ("POST", "/invoke")):
        assert courier_refused(stranger.send(method, f"/journeys/k{path}", b"{}")) == gone
    for path in ("/automations/runs", "/journeys/runs"):
        assert stranger.get(path) == {"runs": []}
    for path in ("/automations", "/journeys"):
        assert stranger.get(path) == {"templates": []}


@pytest.mark.parametrize("path", ["/api/v1/invocations", "/automations/invoke"])
def test_steps_that_cancel_take_the_scope_cancel(make_key: Callable[..., str], path: str) -> None:
    step = {"action": "cancel", "cancelation_token": "t"}
    body = {"definition": {"steps": [step]}, "automation": {"steps": [step]}}
    body.pop("automation" if path.startswith("/api/") else "definition")
    run = invoke(DELAY, token="t").runs[0]["id"]
    assert Caller(make_key("invoke")).post(path, body).status_code == 403
    reader = Caller(make_key("read"))
    assert reader.get(f"/api/v1/runs/{run}")["status"] == "waiting"
    assert Caller(make_key("invoke", "cancel")).post(path, body).status_code in (200, 201)
    assert reader.get(f"/api/v1/runs/{run}")["status"] == "cancelled"


def test_a_step_without_an_action_is_no_way_round_that(make_key: Callable[..., str]) -> None:
    body = {"automation": {"steps": [{"cancelation_token": "t"}]}}
    assert courier_refused(Caller(make_key("invoke")).post("/automations/invoke", body))[0] == 403
