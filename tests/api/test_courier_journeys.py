"""Courier's journeys: created, read, replaced, published, rolled back, archived, and invoked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automations.api.courier import journeys
from automations.definition import ACTIONS
from automations.models import Automation, LiveRun, Run, Version
from tests.api.conftest import Caller, courier_refused, decoded
from tests.scenes import DELAY, make_due, publish, read, run_of_uid, status, work_off

pytestmark = pytest.mark.django_db
PATH = "/journeys"
TRIGGER = {"type": "trigger", "trigger_type": "api-invoke"}
NAP = {"type": "delay", "mode": "duration", "duration": "PT1H"}
HELLO = {"type": "send", "message": {"content": {"title": "Hi", "body": "Hello {{data.name}}"}}}
BODY: dict[str, Any] = {"name": "Welcome", "nodes": [TRIGGER, NAP, HELLO]}
TOKEN = "order-{{data.order_id}}"


def created(api: Caller, **more: Any) -> Any:
    return decoded(api.post(PATH, {**BODY, **more}), 201)


def published(api: Caller, **more: Any) -> str:
    return str(created(api, state="PUBLISHED", **more)["id"])


def invoked(api: Caller, journey: str, **body: Any) -> Run:
    answer = decoded(api.post(f"{PATH}/{journey}/invoke", body), 202)
    assert list(answer) == ["runId"]
    return run_of_uid(answer["runId"])


def test_a_journey_is_created_as_a_draft(api: Caller) -> None:
    answer = created(api, cancelation_token=TOKEN)
    row = Automation.objects.get()
    assert answer == {
        "id": row.key, "name": "Welcome", "state": "DRAFT", "enabled": True, "cancelation_token": TOKEN,
        "nodes": [TRIGGER, {"id": "delay-1", **NAP}, {"id": "send-2", **HELLO}],
        "created": int(row.created_at.timestamp() * 1000), "creator": None,
        "updated": int(row.updated_at.timestamp() * 1000), "updater": "key/backend", "published": None,
    }  # fmt: skip
    assert row.draft["cancellation_token"] == TOKEN
    assert api.get(f"{PATH}/{row.key}") == answer
    assert courier_refused(api.send("GET", f"{PATH}/{row.key}?version=published"))[0] == 404


def test_a_journey_can_be_published_and_switched_off_at_once(api: Caller) -> None:
    answer = created(api, state="PUBLISHED", enabled=False)
    row = Automation.objects.select_related("published").get()
    assert (answer["state"], answer["enabled"], row.status) == ("PUBLISHED", False, "published")
    assert answer["published"] == int(row.published.published_at.timestamp() * 1000)
    refused = courier_refused(api.post(f"{PATH}/{row.key}/invoke", {}))
    assert refused == (400, "invalid_request_error", f"the automation “{row.key}” is disabled (/automation)")
    again = decoded(api.put(f"{PATH}/{row.key}", {**BODY, "enabled": True}))
    assert (again["state"], again["enabled"]) == ("DRAFT", True)
    assert status(invoked(api, row.key)) == "waiting"


def test_a_shell_waits_for_its_nodes(api: Caller) -> None:
    body = {"name": "Shell", "nodes": [TRIGGER]}
    shell = decoded(api.post(PATH, body), 201)
    message = "a journey needs a node that does something (/nodes)"
    for response in (
        api.post(f"{PATH}/{shell['id']}/publish", {}),
        api.put(f"{PATH}/{shell['id']}", {**body, "state": "PUBLISHED"}),
        api.post(PATH, {**body, "state": "PUBLISHED"}),
    ):
        assert courier_refused(response) == (400, "invalid_request_error", message)
    assert Automation.objects.count() == 1


def test_a_replaced_draft_goes_live_when_it_is_published(api: Caller) -> None:
    key = published(api, cancelation_token=TOKEN)
    replaced = decoded(api.put(f"{PATH}/{key}", {"name": "Second", "nodes": [TRIGGER, HELLO]}))
    assert (replaced["name"], replaced["state"], replaced["cancelation_token"]) == ("Second", "DRAFT", TOKEN)
    assert [node["type"] for node in api.get(f"{PATH}/{key}")["nodes"]] == ["trigger", "delay", "send"]
    assert api.get(f"{PATH}/{key}?version=draft") == replaced
    live = decoded(api.send("POST", f"{PATH}/{key}/publish"))
    assert (live["state"], live["nodes"]) == ("PUBLISHED", replaced["nodes"])
    assert api.get(f"{PATH}/{key}?version=published") == live == api.get(f"{PATH}/{key}")
    other = decoded(api.put(f"{PATH}/{key}", {**BODY, "cancelation_token": "other", "state": "PUBLISHED"}))
    assert (other["cancelation_token"], other["state"]) == ("other", "PUBLISHED")


def test_an_earlier_version_is_rolled_back_to(api: Caller) -> None:
    key = published(api)
    decoded(api.put(f"{PATH}/{key}", {"name": "Second", "nodes": [HELLO], "state": "PUBLISHED"}))
    draft = api.get(f"{PATH}/{key}?version=draft")
    for spelt in ("v1", "1"):
        back = decoded(api.post(f"{PATH}/{key}/publish", {"version": spelt}))
        assert [node["type"] for node in back["nodes"]] == ["trigger", "delay", "send"]
    assert status(invoked(api, key)) == "waiting"
    assert api.get(f"{PATH}/{key}?version=draft")["nodes"] == draft["nodes"]
    assert api.get(f"{PATH}/{key}?version=v2")["nodes"] == draft["nodes"]
    listed = api.get(f"{PATH}/{key}/versions")
    assert [row["version"] for row in listed["results"]] == ["v3", "v2", "v1"]
    assert listed["paging"] == {"more": False}
    for unknown in ("v9", "vv", "0", "draft"):
        assert courier_refused(api.post(f"{PATH}/{key}/publish", {"version": unknown}))[0] == 404


def test_versions_come_in_pages(api: Caller, monkeypatch: Any) -> None:
    monkeypatch.setattr(journeys, "LISTED", 2)
    key = published(api)
    for hours in (2, 3):
        nodes = [{**NAP, "duration": f"PT{hours}H"}]
        decoded(api.put(f"{PATH}/{key}", {"name": "Welcome", "nodes": nodes, "state": "PUBLISHED"}))
    first = api.get(f"{PATH}/{key}/versions")
    assert ([row["version"] for row in first["results"]], first["paging"]["more"]) == (["v3", "v2"], True)
    last = api.get(f"{PATH}/{key}/versions?cursor={first['paging']['cursor']}")
    row = Automation.objects.get().versions.get(number=1)
    at = int(row.published_at.timestamp() * 1000)
    assert last == {
        "paging": {"more": False},
        "results": [{"version": "v1", "name": "Welcome", "published": at, "creator": "key/backend"}],
    }


@pytest.mark.parametrize("spelt", ["team/welcome", "team%2Fwelcome", "team/welcome/"])
def test_an_alias_with_a_slash_is_read_replaced_and_archived_under_it(api: Caller, spelt: str) -> None:
    publish("welcome", {"steps": [DELAY]}, alias="team/welcome")
    assert api.get(f"{PATH}/{spelt}")["id"] == "welcome"
    assert decoded(api.put(f"{PATH}/{spelt}", BODY))["name"] == "Welcome"
    assert api.send("DELETE", f"{PATH}/{spelt}").status_code == 204
    gone = courier_refused(api.send("GET", f"{PATH}/{spelt}"))
    assert gone == (404, "invalid_request_error", "Automation not found")


def test_a_token_that_is_missing_is_named_as_courier_spells_it(api: Caller) -> None:
    body = {**BODY, "state": "PUBLISHED", "nodes": [TRIGGER, {"type": "cancel"}]}
    said = "a cancel step needs “cancelation_token”, “run_id” or “filter” (/nodes/1/cancelation_token)"
    assert courier_refused(api.post(PATH, body)) == (400, "invalid_request_error", said)


@pytest.mark.parametrize("path", ["x/templates", "x/templates/y", "runs/x/y"])
def test_what_of_a_journey_is_not_kept_here_is_not_found(api: Caller, path: str) -> None:
    publish("x", {"steps": [DELAY]})
    for method, status_code in (("GET", 404), ("PUT", 404), ("DELETE", 404), ("POST", 405)):
        refused = courier_refused(api.send(method, f"{PATH}/{path}", json.dumps(BODY).encode()))
        assert refused[:2] == (status_code, "invalid_request_error")


def test_archiving_stops_no_run_in_flight(api: Caller) -> None:
    key = published(api)
    run = invoked(api, key, data={"name": "Ana"})
    response = api.send("DELETE", f"{PATH}/{key}")
    assert (response.status_code, response.content) == (204, b"")
    make_due(run)
    work_off()
    assert read(run).public_status == "completed"
    gone = (404, "invalid_request_error", "Automation not found")
    for method, path in (
        ("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/publish"), ("GET", "/versions"), ("POST", "/invoke"),
    ):  # fmt: skip
        body = b'{"name": "n", "nodes": []}'
        assert courier_refused(api.send(method, f"{PATH}/{key}{path}", body)) == gone
    assert courier_refused(api.post(f"/automations/{key}/invoke", {})) == gone
    assert api.get(f"{PATH}?version=draft") == {"templates": []}
    assert api.get(f"/api/v1/automations/{key}")["status"] == "archived"


def test_a_run_bears_the_token_of_its_journey_and_is_called_off_by_it(api: Caller) -> None:
    key = published(api, cancelation_token=TOKEN)
    run, spared = (invoked(api, key, data={"order_id": number}) for number in (1, 2))
    assert [run.token, spared.token] == ["order-1", "order-2"]
    decoded(api.post(f"{PATH}/cancel", {"cancelation_token": "order-1"}), 202)
    assert [status(run), status(spared)] == ["cancelled", "waiting"]
    refused = courier_refused(api.post(f"{PATH}/{key}/invoke", {"data": {}}))
    assert (refused[0], refused[2].endswith("(data.order_id) (/data/order_id)")) == (400, True)
    assert LiveRun.objects.count() == 2


@pytest.mark.parametrize(
    ("body", "user"),
    [
        ({"user_id": "u1", "profile": {"user_id": "u2"}}, "u1"),
        ({"profile": {"userId": "u2"}, "data": {"user_id": "u3"}}, "u2"),
        ({"data": {"anonymousId": "u4", "userId": " "}}, "u4"),
        ({"user_id": None, "data": None, "profile": None}, None),
        ({"data": {"user_id": 5}}, None),
    ],
)
def test_a_journey_is_run_for_one_user(api: Caller, body: Any, user: str | None) -> None:
    publish("welcome", {"steps": [DELAY]}, alias="Welcome 1/ü")
    for name in ("welcome", "Welcome 1/ü", "Welcome%201%2F%C3%BC"):
        run = invoked(api, name, **body)
        assert (run.recipient, run.automation.key) == (user, "welcome")
        assert run.source == f"invoke/{'welcome' if name == 'welcome' else 'Welcome 1/ü'}"
    assert run.profile == (body.get("profile") or {})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"user_id": 5}, "“user_id” must be a non-empty text (/user_id)"),
        ({"profile": {"user_id": "x" * 256}}, "“user_id” may have at most 255 characters (/profile/user_id)"),
        ({"data": []}, "“data” must be an object (/data)"),
        ({"profile": "p"}, "“profile” must be an object (/profile)"),
    ],
)
def test_an_invoke_that_makes_no_sense_is_a_400(api: Caller, body: Any, message: str) -> None:
    key = published(api)
    refused = courier_refused(api.post(f"{PATH}/{key}/invoke", body))
    assert refused == (400, "invalid_request_error", message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "“name” is required (/name); “nodes” must be a list of nodes (/nodes)"),
        ({"name": "n"}, "“nodes” must be a list of nodes (/nodes)"),
        ({"name": "n", "nodes": {}}, "“nodes” must be a list (/nodes)"),
        ({"name": "n", "nodes": [NAP] * 201}, "“nodes” may have at most 200 entries (/nodes)"),
        ({"name": "n", "nodes": [NAP] * 101}, "a definition may have at most 100 steps (/nodes)"),
        ({**BODY, "name": ""}, "“name” must be a non-empty text (/name)"),
        ({**BODY, "state": "LIVE"}, "“state” must be one of: DRAFT, PUBLISHED (/state)"),
        ({**BODY, "enabled": "yes"}, "“enabled” must be true or false (/enabled)"),
        (
            {**BODY, "cancelation_token": ""},
            "“cancelation_token” must be a non-empty text (/cancelation_token)",
        ),
        (
            {**BODY, "nodes": [TRIGGER, {"type": "ai", "output_schema": {}}]},
            "a node of type “ai” is not supported yet; known are: trigger, "
            f"{', '.join(sorted(ACTIONS))} (/nodes/1/type)",
        ),
        (
            {**BODY, "nodes": [{**HELLO, "message": {"content": {"body": "x" * 60_000}}}] * 5},
            "a definition may have at most 256 KiB (/nodes)",
        ),
    ],
)
def test_what_is_no_journey_is_a_400_that_names_the_field(api: Caller, body: Any, message: str) -> None:
    key = created(api)["id"]
    for response in (api.post(PATH, body), api.put(f"{PATH}/{key}", body)):
        assert courier_refused(response) == (400, "invalid_request_error", message)
    assert Automation.objects.count() == 1


def test_what_a_newer_sdk_may_add_is_ignored(api: Caller) -> None:
    assert created(api, shiny={"x": 1})["name"] == "Welcome"


def test_a_definition_of_ours_is_a_journey_too_and_keeps_what_courier_cannot_say(api: Caller) -> None:
    definition = {"cancellation_token": "refs.data.id", "on_cancel": {"invoke": "other"}, "steps": [DELAY]}
    publish("ours", definition)
    journey = api.get(f"{PATH}/ours")
    assert journey["nodes"] == [
        TRIGGER,
        {"id": "0", "type": "delay", "duration": "1 hour", "mode": "duration"},
    ]
    body = {"name": "Ours", "nodes": journey["nodes"]}
    decoded(api.put(f"{PATH}/ours", body))
    draft = Automation.objects.get().draft
    assert draft == {**definition, "steps": [{"id": "delay-1", **DELAY}]}


def test_a_draft_that_cannot_run_is_refused_at_its_nodes(api: Caller) -> None:
    body = {
        "key": "k",
        "name": "K",
        "definition": {"steps": [DELAY, {"action": "delay", "duration": "soon"}]},
    }
    decoded(api.post("/api/v1/automations", body), 201)
    status_code, _, message = courier_refused(api.post(f"{PATH}/k/publish", {}))
    assert (status_code, message.endswith("(/nodes/2/duration)")) == (400, True)


def test_a_repeated_create_is_the_first_one(api: Caller) -> None:
    body = {**BODY, "state": "PUBLISHED"}
    first, again = (api.post(PATH, body, Idempotency_Key="once") for _ in range(2))
    assert decoded(again, 201) == decoded(first, 201)
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert courier_refused(api.post(PATH, {**body, "name": "Other"}, Idempotency_Key="once"))[:2] == (
        422, "invalid_request_error",
    )  # fmt: skip
    assert decoded(api.post(PATH, body, Idempotency_Key="twice"), 201)["id"] != decoded(first, 201)["id"]
    assert Automation.objects.count() == 2


def test_a_repeated_create_finishes_what_the_first_began_and_undoes_nothing(api: Caller) -> None:
    body = {**BODY, "state": "PUBLISHED"}
    key = decoded(api.post(PATH, body, Idempotency_Key="once"), 201)["id"]
    Automation.objects.update(published=None)
    Version.objects.all().delete()  # as if the first had been cut off
    assert decoded(api.post(PATH, body, Idempotency_Key="once"), 201)["state"] == "PUBLISHED"
    decoded(api.post(f"/api/v1/automations/{key}/disable", {}))
    decoded(api.put(f"{PATH}/{key}", {"name": "Next", "nodes": [HELLO]}))
    again = decoded(api.post(PATH, {**body, "enabled": True}, Idempotency_Key="once"), 201)
    assert (again["enabled"], [node["type"] for node in again["nodes"]]) == (
        False,
        ["trigger", "delay", "send"],
    )
    assert api.get(f"{PATH}/{key}/versions")["results"][0]["version"] == "v1"


def test_a_repeated_publish_makes_one_version_and_a_repeated_invoke_one_run(api: Caller) -> None:
    key = created(api)["id"]
    for _ in range(2):
        decoded(api.post(f"{PATH}/{key}/publish", {}, Idempotency_Key="once"))
    assert [row["version"] for row in api.get(f"{PATH}/{key}/versions")["results"]] == ["v1"]
    answers = [api.post(f"{PATH}/{key}/invoke", {"user_id": "u"}, Idempotency_Key="once") for _ in range(2)]
    assert decoded(answers[0], 202) == decoded(answers[1], 202)
    assert courier_refused(api.post(f"{PATH}/{key}/invoke", {}, Idempotency_Key="once"))[0] == 422


@pytest.mark.parametrize("path", ["", "/k/publish", "/k/invoke", "/cancel"])
def test_an_expiration_that_is_no_moment_is_refused_everywhere(api: Caller, path: str) -> None:
    publish("k", {"steps": [DELAY]})
    body = {**BODY, "cancelation_token": "t"} if path in ("", "/cancel") else {}
    response = api.post(PATH + path, body, Idempotency_Key="k", x_idempotency_expiration="tomorrow")
    message = "x-idempotency-expiration must be epoch seconds or an ISO 8601 timestamp"
    assert courier_refused(response) == (400, "invalid_request_error", message)


def test_a_trailing_slash_is_no_other_address(api: Caller) -> None:
    key = published(api)
    assert api.get(f"{PATH}/{key}/") == api.get(f"{PATH}/{key}")
    assert api.get(f"{PATH}/") == api.get(PATH)
    decoded(api.post(f"{PATH}/{key}/invoke/", {}), 202)
