"""Webhooks over the native API."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from automations.models import Environment, WebhookDelivery, WebhookEndpoint, database_now, forget_endpoints
from automations.notices.endpoints import MOST_ENDPOINTS, MOST_SECRETS
from tests.api.conftest import Caller, decoded, refused
from tests.notices import scene
from tests.scenes import invoke, run_of

pytestmark = pytest.mark.django_db
PATH = "/api/v1/webhooks"
UID = "0199d3f2-0000-7000-8000-000000000001"
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "nobody"}
GIVEN: dict[str, Any] = {"url": "https://example.com/hook", "events": ["run.cancelled", "run.completed"]}


@pytest.fixture
def admin(make_key: Callable[..., str]) -> Caller:
    return Caller(make_key("admin", name="ops"))


def made(admin: Caller, **given: Any) -> dict[str, Any]:
    created: dict[str, Any] = decoded(admin.post(PATH, {**GIVEN, **given}), 201)
    return created


def test_a_webhook_is_created_and_its_secret_told_once(admin: Caller) -> None:
    created = made(admin, description="the shop")
    secret = created.pop("secret")
    assert secret.startswith("whsec_")
    stored = WebhookEndpoint.objects.get()
    assert created == {
        "id": str(stored.pk), "url": "https://example.com/hook", "events": ["run.completed", "run.cancelled"],
        "description": "the shop", "disabled": False, "disabled_at": None, "disabled_reason": None,
        "failing_since": None, "old_secrets_until": None, "created_at": created["created_at"],
        "created_by": "key/ops",
    }  # fmt: skip
    assert admin.get(f"{PATH}/{created['id']}") == created
    assert admin.get(PATH) == {"items": [created], "next_cursor": None}


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"url": None}, "/url", "required"),
        ({"url": 7}, "/url", "invalid"),
        ({"url": "example.com"}, "/url", "invalid"),
        ({"url": "ftp://example.com/"}, "/url", "invalid"),
        ({"url": "https://user:secret@example.com/"}, "/url", "invalid"),
        ({"url": "http://10.0.0.1/"}, "/url", "invalid"),
        ({"url": "https://example.com:8080/hook"}, "/url", "invalid"),
        ({"url": "https://1.1.1.1:8080/hook"}, "/url", "invalid"),
        ({"url": "https://example.com/" + "x" * 2000}, "/url", "too_long"),
        ({"events": []}, "/events", "required"),
        ({"events": "run.failed"}, "/events", "invalid"),
        ({"events": ["run.started"]}, "/events/0", "unknown_event"),
        ({"events": ["run.failed", 7]}, "/events/1", "invalid"),
        ({"description": "x" * 501}, "/description", "too_long"),
        ({"secret": "whsec_mine"}, "/secret", "unknown_field"),
    ],
)
def test_what_is_wrong_with_a_webhook_is_pointed_at(
    admin: Caller, change: dict[str, Any], pointer: str, code: str
) -> None:
    status, _, errors = refused(admin.post(PATH, {**GIVEN, **change}))
    assert (status, errors) == (422, [(pointer, code)])
    assert WebhookEndpoint.objects.count() == 0


def test_a_private_address_may_be_allowed(admin: Caller, settings: Any) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = ("10.0.0.0/8",)
    assert made(admin, url="http://10.0.0.1:8000/")["url"] == "http://10.0.0.1:8000/"


@pytest.mark.parametrize(
    ("allowed", "is_refused"),
    [("shop.example:8080", False), ("shop.example", False), ("10.0.0.0/8", False), ("10.0.0.0/8:8080", False),
     ("10.0.0.0/8:9000", True), ("shop.example:9000", True), ("other.example", True)],
)  # fmt: skip
def test_another_port_takes_an_exception_that_may_cover_it(
    admin: Caller, settings: Any, allowed: str, *, is_refused: bool
) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = (allowed,)
    answer = admin.post(PATH, {**GIVEN, "url": "https://shop.example:8080/hook"})
    assert answer.status_code == (422 if is_refused else 201)
    if is_refused:
        said = (
            "port 8080 of shop.example is none of 80, 443, 8443; ALLOW_PRIVATE_NETWORKS names the exceptions"
        )
        assert refused(answer) == (422, "invalid", [("/url", "invalid")])
        assert json.loads(answer.content)["errors"][0]["message"] == said


def test_an_environment_has_so_many_webhooks_at_most(admin: Caller) -> None:
    for _ in range(MOST_ENDPOINTS):
        scene.endpoint()
    assert refused(admin.post(PATH, GIVEN))[:2] == (422, "too_many_webhooks")


def test_a_webhook_is_changed_disabled_and_enabled(admin: Caller) -> None:
    path = f"{PATH}/{made(admin)['id']}"
    changed = decoded(admin.patch(path, {"url": "https://example.com/2", "events": ["run.failed"]}))
    assert (changed["url"], changed["events"]) == ("https://example.com/2", ["run.failed"])
    off = decoded(admin.patch(path, {"disabled": True}))
    assert (off["disabled"], off["disabled_reason"]) == (True, "disabled by hand")
    invoke({"action": "delay", "duration": "refs.data.nothing"})
    assert WebhookDelivery.objects.count() == 0
    on = decoded(admin.patch(path, {"disabled": False, "description": "again"}))
    assert (on["disabled"], on["disabled_at"], on["description"]) == (False, None, "again")
    invoke({"action": "delay", "duration": "refs.data.nothing"})
    assert WebhookDelivery.objects.count() == 1
    assert refused(admin.patch(path, {"events": []}))[2] == [("/events", "required")]
    assert refused(admin.patch(path, {"disabled": "yes"}))[2] == [("/disabled", "invalid")]
    assert refused(admin.patch(path, {"id": UID}))[2] == [("/id", "unknown_field")]


def test_a_removed_webhook_is_gone_with_its_deliveries(admin: Caller) -> None:
    path = f"{PATH}/{made(admin)['id']}"
    invoke(CANCEL)
    assert WebhookDelivery.objects.count() == 1
    response = admin.send("DELETE", path)
    assert (response.status_code, response.content) == (204, b"")
    assert refused(admin.send("GET", path))[:2] == (404, "webhook_not_found")
    assert (WebhookEndpoint.objects.count(), WebhookDelivery.objects.count()) == (0, 0)
    invoke(CANCEL)
    assert WebhookDelivery.objects.count() == 0


def test_a_secret_is_rolled_while_the_old_one_stays_valid_for_a_day(admin: Caller) -> None:
    created = made(admin)
    rolled = decoded(admin.post(f"{PATH}/{created['id']}/roll", {}))
    now = database_now()
    assert rolled["secret"] != created["secret"]
    assert rolled["old_secrets_until"] is not None
    stored = WebhookEndpoint.objects.get()
    assert scene.secrets_of(stored, at=now) == [rolled["secret"], created["secret"]]
    assert scene.secrets_of(stored, at=now + timedelta(hours=24)) == [rolled["secret"]]
    for _ in range(MOST_SECRETS - 2):
        decoded(admin.post(f"{PATH}/{created['id']}/roll", {}))
    assert refused(admin.post(f"{PATH}/{created['id']}/roll", {}))[:2] == (422, "too_many_secrets")


def test_deliveries_are_listed_newest_first_page_by_page(admin: Caller) -> None:
    path = f"{PATH}/{made(admin)['id']}"
    runs = [str(run_of(invoke(CANCEL)).uid) for _ in range(3)]
    rows = list(WebhookDelivery.objects.order_by("-pk"))
    first = admin.get(f"{path}/deliveries?limit=2")
    second = admin.get(f"{path}/deliveries?limit=2&cursor={first['next_cursor']}")
    assert [item["id"] for item in first["items"] + second["items"]] == [str(row.pk) for row in rows]
    assert {item["run"] for item in first["items"] + second["items"]} == set(runs)
    assert second["next_cursor"] is None
    item = first["items"][0]
    assert item == {
        "id": str(rows[0].pk), "event": "run.completed", "run": item["run"], "at": item["at"],
        "status": "pending", "attempts": 0, "last_response_status": None, "last_error": None,
        "next_attempt_at": item["at"], "log": [],
    }  # fmt: skip


def test_a_delivery_tells_its_attempts_and_is_tried_again_by_hand(admin: Caller) -> None:
    path = f"{PATH}/{made(admin, url='http://localhost/')['id']}"
    invoke(CANCEL)
    scene.deliver_all()
    (item,) = admin.get(f"{path}/deliveries")["items"]
    assert (item["status"], item["attempts"], item["last_response_status"]) == ("pending", 1, None)
    assert item["last_error"].startswith("localhost is not on the public internet")
    (attempt,) = item["log"]
    assert (attempt["attempt"], attempt["status"], attempt["error"]) == (1, None, item["last_error"])
    assert attempt["at"].endswith("Z")
    before = item["next_attempt_at"]
    again = decoded(admin.post(f"{path}/deliveries/{item['id']}/retry", {}))
    assert again["next_attempt_at"] < before
    assert refused(admin.post(f"{path}/deliveries/{UID}/retry", {}))[:2] == (404, "delivery_not_found")
    admin.patch(path, {"disabled": True})
    assert refused(admin.post(f"{path}/deliveries/{item['id']}/retry", {}))[:2] == (422, "webhook_disabled")


def test_a_test_is_a_delivery_without_a_run(admin: Caller) -> None:
    path = f"{PATH}/{made(admin)['id']}"
    item = decoded(admin.post(f"{path}/test", {}), 201)
    assert (item["event"], item["run"], item["status"]) == ("webhook.test", None, "pending")
    assert admin.get(f"{path}/deliveries")["items"] == [item]
    admin.patch(path, {"disabled": True})
    assert refused(admin.post(f"{path}/test", {}))[:2] == (422, "webhook_disabled")


@pytest.mark.parametrize(
    ("method", "end"),
    [
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/roll"), ("POST", "/test"),
        ("GET", "/deliveries"), ("POST", f"/deliveries/{UID}/retry"),
    ],
)  # fmt: skip
def test_another_environments_webhook_is_not_found(admin: Caller, method: str, end: str) -> None:
    foreign = scene.endpoint(environment=Environment.objects.get(key="test"))
    for uid in (foreign.pk, UID):
        response = admin.send(method, f"{PATH}/{uid}{end}", b"{}" if method != "GET" else b"")
        assert refused(response)[:2] == (404, "webhook_not_found")
    assert admin.get(PATH)["items"] == []


@pytest.mark.parametrize("count", [1, 5])
def test_lists_cost_the_same_whatever_is_in_them(
    admin: Caller, count: int, django_assert_num_queries: Any
) -> None:
    for _ in range(count):
        told = scene.endpoint()
    forget_endpoints()
    for _ in range(count):
        invoke(CANCEL)
    with django_assert_num_queries(2):  # the key, the endpoints
        admin.get(PATH)
    with django_assert_num_queries(3):  # the key, the endpoint, its deliveries with their runs
        assert len(admin.get(f"{PATH}/{told.pk}/deliveries")["items"]) == count
