"""Webhook endpoints in the browser: made, their secret shown once, switched, rolled, tested, and their deliveries."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from automations.models import WebhookDelivery, WebhookEndpoint, database_now
from automations.notices import endpoints as notices
from tests.pages import read
from tests.people import client
from tests.scenes import production

pytestmark = pytest.mark.django_db
NAMED = "ALLOW_PRIVATE_NETWORKS names the exceptions."
NEW = {
    "url": "https://shop.example/hooks",
    "events": ["run.failed", "run.cancelled"],
    "description": "The shop",
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "KEPT_SECONDS", 0.0)  # nobody else reads endpoints here


def made(browser: Client, **changes: Any) -> tuple[WebhookEndpoint, str]:
    answer = browser.post("/webhooks/", {**NEW, **changes})
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    return WebhookEndpoint.objects.latest("pk"), read(answer).one("#secret").text


def delivery(endpoint: WebhookEndpoint, **given: Any) -> WebhookDelivery:
    now = database_now()
    return WebhookDelivery.objects.create(endpoint=endpoint, event="webhook.test", at=now, **given)


def test_the_secret_is_shown_once_and_signs() -> None:
    browser = client("admin")
    endpoint, secret = made(browser)
    assert secret.startswith("whsec_")
    assert (endpoint.url, endpoint.events, endpoint.created_by) == (
        NEW["url"], ["run.failed", "run.cancelled"], "user/ana",
    )  # fmt: skip
    address = f"/webhooks/{endpoint.pk}/"
    pages = [browser.get(one).content.decode() for one in ("/webhooks/", address)]
    assert [secret in page for page in pages] == [False, False]
    rolled = read(browser.post(address, {"do": "roll"})).one("#secret").text
    endpoint.refresh_from_db()
    assert rolled != secret
    assert len(endpoint.secrets) == 2


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"url": "ftp://x.example/"}, "url", "The URL must be a complete http or https URL."),
        ({"url": "http://127.0.0.1/"}, "url", f"127.0.0.1 is not on the public internet; {NAMED}"),
        (
            {"url": "https://shop.example:8080/"},
            "url",
            f"Port 8080 of shop.example is none of 80, 443, 8443; {NAMED}",
        ),
        ({"events": []}, "events", "This field is required."),
        (
            {"events": ["run.lost"]},
            "events",
            "Select a valid choice. run.lost is not one of the available choices.",
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_field(changes: dict[str, Any], name: str, said: str) -> None:
    answer = client("admin").post("/webhooks/", {**NEW, **changes})
    assert answer.status_code == 422
    assert read(answer).one(f"#{name}-errors").text == said
    assert not WebhookEndpoint.objects.exists()


def test_it_is_changed_switched_and_removed() -> None:
    browser = client("admin")
    endpoint, _ = made(browser)
    address = f"/webhooks/{endpoint.pk}/"
    assert browser.post(address, {**NEW, "do": "save", "events": ["run.skipped"]}).status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.events == ["run.skipped"]
    browser.post(address, {"do": "disable"})
    page = read(browser.get(address))
    assert page.one(".standing").text.startswith("Disabled disabled by hand")
    browser.post(address, {"do": "test"})
    assert read(browser.get(address)).one("#toast").text == "The webhook is disabled; enable it first."
    browser.post(address, {"do": "enable"})
    browser.post(address, {"do": "test"})
    assert endpoint.deliveries.get().event == "webhook.test"
    assert browser.post(address, {"do": "explode"}).status_code == 404
    assert browser.post(address, {"do": "remove"})["Location"] == "/webhooks/"
    assert not WebhookEndpoint.objects.exists()


def test_deliveries_tell_every_attempt_and_can_be_tried_again() -> None:
    browser = client("admin")
    endpoint, _ = made(browser)
    at = database_now().isoformat()
    log = [
        {
            "attempt": 1,
            "at": at,
            "milliseconds": 83,
            "status": 502,
            "error": "it answered 502",
            "answer": "no",
        }
    ]
    failed = delivery(endpoint, status="failed", attempts=1, log=log)
    delivery(endpoint, status="delivered", attempts=1, log=[{**log[0], "status": 200, "error": None}])
    address = f"/webhooks/{endpoint.pk}/"
    page = read(browser.get(address))
    assert not page.one("#deliveries").has("data-poll")
    row = page.one(f"#row-{failed.pk}")
    assert row.texts("td")[1:3] == ["Failed", "502 it answered 502"]
    assert row.one(".events").text.endswith("502 after 83 ms: it answered 502 no")
    assert [form["action"] for form in page.one("#deliveries").all("form")] == [
        f"{address}deliveries/{failed.pk}/retry/"
    ]
    browser.post(f"{address}deliveries/{failed.pk}/retry/")
    failed.refresh_from_db()
    assert (failed.status, failed.next_attempt_at is None) == ("pending", False)
    assert read(browser.get(address)).one("#deliveries")["hx-get"] == address


def test_a_long_log_has_pages_and_costs_as_many_statements(django_assert_max_num_queries: Any) -> None:
    browser = client("admin")
    endpoint, _ = made(browser)
    for _ in range(51):
        delivery(endpoint, status="delivered", attempts=0)
    address = f"/webhooks/{endpoint.pk}/"
    with django_assert_max_num_queries(6):
        page = read(browser.get(address))
    assert len(page.one("#deliveries").all("[data-row]")) == 50
    older = read(browser.get(page.one("#older")["href"]))
    assert len(older.one("#deliveries").all("[data-row]")) == 1
    assert older.one("#newest")["href"] == address
    assert browser.get(f"{address}?before=x").status_code == 404


def test_another_environments_endpoint_is_not_there() -> None:
    browser = client("admin")
    endpoint, _ = made(browser)
    browser.post("/environment/", {"environment": "test"})
    assert browser.get(f"/webhooks/{endpoint.pk}/").status_code == 404
    assert browser.post(f"/webhooks/{endpoint.pk}/", {"do": "remove"}).status_code == 404
    assert endpoint.environment == production()
