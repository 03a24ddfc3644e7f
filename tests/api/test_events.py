"""Events over the native API, and what rules and concurrency keys look like there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from automations.api.moments import stamp
from automations.models import Cancellation, Listener, Occurrence
from tests.api.conftest import Caller, courier_refused, decoded, refused
from tests.scenes import DELAY, SEND, publish, read, run_of, status
from tests.scenes import invoke as invoked

pytestmark = pytest.mark.django_db
PATH = "/api/v1/events"
INVOCATIONS = "/api/v1/invocations"
RULE = {"event": "order.paid", "match": "data.order", "reason": "the order was paid"}
CART = {"cancel_on": [RULE], "steps": [DELAY, SEND]}
ONCE = {"concurrency": {"key": "refs.data.order", "policy": "cancel_previous"}, "steps": [DELAY, SEND]}


def test_an_event_answers_with_what_it_did(api: Caller) -> None:
    publish("cart", CART)
    made = decoded(
        api.post(INVOCATIONS, {"automation": "cart", "recipient": "ada", "data": {"order": 7}}), 201
    )
    body = {"name": "order.paid", "data": {"order": 7}, "recipient": "ada"}
    answer = decoded(api.post(PATH, body, X_Request_ID="req-1"))
    (run,) = made["runs"]
    occurrence, row = Occurrence.objects.get(), Cancellation.objects.get()
    assert answer == {
        "id": str(occurrence.pk), "name": "order.paid", "recipient": "ada", "actor": "key/backend",
        "accepted_at": stamp(occurrence.accepted_at), "cancelled": 1, "failed": 0, "failures": [],
        "cancellations": [{
            "id": str(row.pk), "as_of": stamp(row.as_of), "actor": "event order.paid",
            "reason": "the order was paid", "filter": {"run_ids": [run["id"]]}, "matched": 1, "cancelled": 1,
            "cancelled_run_ids": [run["id"]], "already_finished": 0, "in_flight": [], "settled": True,
            "counted": True, "dry_run": False,
        }],
    }  # fmt: skip
    assert row.request_id == "req-1"
    told = api.get(f"/api/v1/runs/{run['id']}")
    assert (told["status"], told["status_reason"]) == ("cancelled", "cancel_rule")
    assert (told["cancellation"]["actor"], told["cancellation"]["origin"]) == ("event order.paid", "rule")
    assert api.get(f"{PATH}/{answer['id']}") == {**answer, "data": {"order": 7}}
    shown = {name: answer[name] for name in answer if name not in ("cancellations", "failures")}
    assert api.get(PATH) == {"items": [shown], "next_cursor": None}


def test_an_event_that_matches_nothing_is_a_200_and_is_kept(api: Caller) -> None:
    answer = decoded(api.post(PATH, {"name": "order.paid"}))
    assert (answer["cancellations"], answer["cancelled"], answer["failures"]) == ([], 0, [])
    assert api.get(f"{PATH}/{answer['id']}")["data"] == {}


def test_a_condition_that_fails_is_listed(api: Caller) -> None:
    rule = {"event": "order.paid", "if": "event.data.order.id > 1"}
    run = run_of(invoked(definition={"cancel_on": [rule], "steps": [DELAY]}))
    answer = decoded(api.post(PATH, {"name": "order.paid"}))
    (failure,) = answer["failures"]
    message = failure.pop("message")
    assert failure == {"run": str(run.uid), "automation": None, "rule": 0, "code": "runtime"}
    assert "undefined" in message
    assert (answer["failed"], answer["cancelled"], status(run)) == (1, 0, "waiting")


def test_the_same_key_gives_the_same_answer(api: Caller) -> None:
    run_of(invoked(definition=CART, data={"order": 7}))
    body = {"name": "order.paid", "data": {"order": 7}}
    first, again = (api.post(PATH, body, Idempotency_Key="k") for _ in range(2))
    assert (decoded(first), decoded(first)["cancelled"]) == (decoded(again), 1)
    assert ("Idempotent-Replayed" in first, again["Idempotent-Replayed"]) == (False, "true")
    other = api.post(PATH, {"name": "order.void"}, Idempotency_Key="k")
    assert refused(other) == (422, "idempotency_key_reused", [("", "idempotency_key_reused")])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (422, "required", [("/name", "required")])),
        ({"name": 5}, (422, "invalid", [("/name", "invalid")])),
        ({"name": "x" * 101}, (422, "too_long", [("/name", "too_long")])),
        ({"name": "a\nb"}, (422, "invalid", [("/name", "invalid")])),
        ({"name": "e", "data": []}, (422, "invalid", [("/data", "invalid")])),
        ({"name": "e", "data": {"x": "x" * 262_144}}, (422, "data_too_large", [("/data", "data_too_large")])),
        ({"name": "e", "recipient": 5}, (422, "invalid", [("/recipient", "invalid")])),
        ({"name": "e", "at": "now"}, (422, "unknown_field", [("/at", "unknown_field")])),
    ],
)
def test_an_event_that_cannot_be_meant_is_refused(api: Caller, body: Any, expected: Any) -> None:
    assert refused(api.post(PATH, body)) == expected
    assert Occurrence.objects.count() == 0


def test_events_are_paged_newest_first_and_one_environment_s(
    api: Caller, make_key: Callable[..., str]
) -> None:
    names = ["a", "b", "c"]
    ids = [decoded(api.post(PATH, {"name": name}))["id"] for name in names]
    first = api.get(f"{PATH}?limit=2")
    assert [item["name"] for item in first["items"]] == ["c", "b"]
    assert [item["id"] for item in api.get(f"{PATH}?cursor={first['next_cursor']}")["items"]] == [ids[0]]
    foreigner = Caller(make_key("read", environment="test"))
    assert foreigner.get(PATH)["items"] == []
    assert refused(foreigner.send("GET", f"{PATH}/{ids[0]}"))[:2] == (404, "event_not_found")


# -- definitions ----------------------------------------------------------------------------------------


def test_a_draft_keeps_rules_and_concurrency_and_publishing_them_makes_them_heard(api: Caller) -> None:
    publish("cart", {"steps": [DELAY]})
    definition = {**CART, "concurrency": ONCE["concurrency"]}
    answer = decoded(api.put("/api/v1/automations/cart/draft", {"definition": definition}))
    assert answer["draft"]["definition"] == definition
    assert Listener.objects.count() == 0
    decoded(api.post("/api/v1/automations/cart/publish", {}))
    decoded(api.post("/api/v1/automations/cart/publish", {}))  # the same version again
    assert api.get("/api/v1/automations/cart/versions/2")["definition"] == definition
    assert list(Listener.objects.values_list("event", "version__number")) == [("order.paid", 2)]


def test_a_rule_that_cannot_be_meant_cannot_be_published(api: Caller) -> None:
    publish("cart", {"steps": [DELAY]})
    bad = {"steps": [DELAY], "cancel_on": [{"event": "e", "within": "soon"}], "concurrency": {"key": "k"}}
    decoded(api.put("/api/v1/automations/cart/draft", {"definition": bad}))
    assert refused(api.post("/api/v1/automations/cart/publish", {})) == (
        422, "invalid_definition",
        [("/definition/cancel_on/0/within", "invalid_duration"), ("/definition/concurrency/policy", "required")],
    )  # fmt: skip


def test_an_invoke_says_what_it_superseded(api: Caller) -> None:
    body = {"definition": ONCE, "data": {"order": 7}}
    first = decoded(api.post(INVOCATIONS, body), 201)
    second = decoded(api.post(INVOCATIONS, body), 201)
    (run,) = second["runs"]
    assert "supersedes" not in first["runs"][0]
    row = Cancellation.objects.get(pk=UUID(run["supersedes"]))
    assert (row.cancelled_run_ids, row.actor) == ([first["runs"][0]["id"]], f"invocation/{second['id']}")
    assert api.get(f"/api/v1/cancellations/{row.pk}")["reason"] == "superseded"


def test_an_invoke_that_finds_one_running_is_refused_with_its_id(api: Caller) -> None:
    definition = {**ONCE, "concurrency": {"key": "refs.data.order", "policy": "reject_new"}}
    first = decoded(api.post(INVOCATIONS, {"definition": definition, "data": {"order": 7}}), 201)
    response = api.post(INVOCATIONS, {"definition": definition, "data": {"order": 7}})
    document = json.loads(response.content)
    assert (response.status_code, document["type"]) == (422, "urn:countermand:problem:already_running")
    assert (document["run"], document["errors"][0]["pointer"]) == (first["runs"][0]["id"], "")


def test_a_definition_that_would_supersede_needs_the_scope_to_cancel(make_key: Callable[..., str]) -> None:
    caller = Caller(make_key("invoke"))
    for concurrency in (ONCE["concurrency"], {"key": "k", "policy": "reject_new"}, "x", None):
        response = caller.post(
            INVOCATIONS, {"definition": {**ONCE, "concurrency": concurrency}, "data": {"order": 1}}
        )
        lacks = response.status_code == 403
        assert lacks is (concurrency == ONCE["concurrency"])
    assert (
        decoded(caller.post(INVOCATIONS, {"definition": CART, "data": {"order": 7}}), 201)["run_count"] == 1
    )


def test_on_courier_s_paths_a_template_supersedes_and_refuses_in_courier_s_words(api: Caller) -> None:
    publish("once", ONCE)
    publish("single", {**ONCE, "concurrency": {"key": "refs.data.order", "policy": "reject_new"}})
    body = {"recipient": "ada", "data": {"order": 7}}
    first, second = (decoded(api.post("/automations/once/invoke", body)) for _ in range(2))
    states = {uid: api.get(f"/api/v1/runs/{uid}")["status"] for uid in (first["runId"], second["runId"])}
    assert list(states.values()) == ["cancelled", "waiting"]
    standing = decoded(api.post("/automations/single/invoke", body))["runId"]
    code, kind, message = courier_refused(api.post("/automations/single/invoke", body))
    assert (code, kind, standing in message) == (400, "invalid_request_error", True)


def test_on_courier_s_paths_unknown_members_are_ignored_as_before(api: Caller) -> None:
    automation = {
        "steps": [DELAY],
        "cancel_on": [{"event": "order.paid", "whatever": 1}],
        "another": {"x": 1},
    }
    uid = decoded(api.post("/automations/invoke", {"automation": automation}))["runId"]
    decoded(api.post(PATH, {"name": "order.paid"}))
    assert read(run_of_id(uid)).public_status == "cancelled"


def run_of_id(uid: str) -> Any:
    from automations.models import Run

    return Run.objects.get(uid=uid)
