"""Knock's own Python package, unmodified, against the running product."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import knockapi
import pytest
from knockapi import Knock

from tests.live import Product

DEFINITION: dict[str, Any] = {
    "steps": [
        {"id": "nap", "action": "delay", "duration": "1 hour"},
        {"id": "tell", "action": "send", "message": {"content": {"title": "Hi", "body": "there"}}},
    ]
}


@pytest.fixture(scope="module", params=["", "/compat/knock"])
def client(product: Product, request: pytest.FixtureRequest) -> Iterator[Knock]:
    """The vendor's client; only its address and its key are ours."""
    with Knock(base_url=product.url + request.param, api_key=product.key("read,invoke,cancel")) as client:
        yield client


@pytest.fixture
def native(product: Product) -> httpx.Client:
    """The native API, to see what became of what the package did."""
    return product.http


@pytest.fixture
def workflow(native: httpx.Client) -> str:
    """The name of a published workflow, as somebody at Knock might call it."""
    key = f"sdk-{uuid4().hex[:8]}"
    body = {"key": key, "alias": f"{key} key/1", "name": key, "definition": DEFINITION}
    native.post("automations", json=body).raise_for_status()
    native.post(f"automations/{key}/publish").raise_for_status()
    return f"{key} key/1"


def statuses(client: Knock, workflow: str, **given: Any) -> dict[Any, str]:
    """The status of each recipient's run."""
    listed = client.workflow_recipient_runs.list(workflow=workflow, **given)
    return {recipient(run): run.status for run in listed}


def recipient(run: Any) -> Any:
    who = run.recipient
    return who if isinstance(who, str) else (who.collection, who.id)


def test_the_package_is_the_one_we_speak_of() -> None:
    assert knockapi.__version__ == "1.33.0"


def test_a_delayed_run_is_triggered_seen_and_called_off(client: Knock, workflow: str) -> None:
    inline: Any = ["u1", {"id": "u2", "email": "e@x.y"}, {"id": "p1", "collection": "projects"}]
    run_id = client.workflows.trigger(
        workflow, recipients=inline, actor="a", cancellation_key="ck", data={"n": 1}, tenant="t1"
    ).workflow_run_id
    thing = ("projects", "p1")
    assert statuses(client, workflow) == {"u1": "paused", "u2": "paused", thing: "paused"}
    narrowed: Any = ["u1", {"id": "p1", "collection": "projects"}]
    client.workflows.cancel(workflow, cancellation_key="ck", recipients=narrowed)
    assert statuses(client, workflow) == {"u1": "cancelled", "u2": "paused", thing: "cancelled"}
    client.workflows.cancel(workflow, cancellation_key="ck")
    later = client.workflows.trigger(workflow, recipients=["u1"], cancellation_key="ck").workflow_run_id
    (survivor,) = client.workflow_recipient_runs.list(workflow=workflow, status=["paused", "queued"])
    assert (survivor.workflow_run_id, recipient(survivor)) == (later, "u1")
    (one,) = client.workflow_recipient_runs.list(
        workflow=workflow, tenant="t1", recipient={"id": "p1", "collection": "projects"}
    )
    assert (one.workflow_run_id, one.actor, one.tenant, one.error_count) == (run_id, "a", "t1", 0)
    assert (one.trigger_source.type, one.trigger_source.cancellation_key) == ("api", "ck")


def test_the_next_step_of_a_cancelled_run_never_runs(
    client: Knock, workflow: str, native: httpx.Client
) -> None:
    client.workflows.trigger(workflow, recipients=["u1"], cancellation_key="ck")
    client.workflows.cancel(workflow, cancellation_key="ck")
    (run,) = client.workflow_recipient_runs.list(workflow=workflow)
    shown = client.workflow_recipient_runs.get(run.id)
    assert (shown.status, [event.event for event in shown.events][:1]) == ("cancelled", ["invoked"])
    steps = native.get(f"runs/{run.id}").json()["steps"]
    assert [step["status"] for step in steps] == ["cancelled", "cancelled"]


def test_delays_are_skipped_if_asked(client: Knock, workflow: str, native: httpx.Client) -> None:
    client.workflows.trigger(workflow, recipients=["u1"], settings={"skip_delay": True})
    (run,) = client.workflow_recipient_runs.list(workflow=workflow)
    nap, _ = native.get(f"runs/{run.id}").json()["steps"]
    assert (nap["status"], nap["skip_reason"]) == ("skipped", "delays_skipped")


def test_pages_are_walked_by_the_package(client: Knock, workflow: str) -> None:
    client.workflows.trigger(workflow, recipients=[f"u{n}" for n in range(5)])
    pages = client.workflow_recipient_runs.list(workflow=workflow, page_size=2)
    assert [recipient(run) for run in pages] == ["u4", "u3", "u2", "u1", "u0"]


def test_a_repeated_request_runs_once(client: Knock, workflow: str) -> None:
    given: Any = {"recipients": ["u1"], "idempotency_key": uuid4().hex}
    first = client.workflows.trigger(workflow, **given)
    assert client.workflows.trigger(workflow, **given) == first
    assert statuses(client, workflow) == {"u1": "paused"}


def test_a_retry_after_a_lost_answer_runs_once(product: Product, workflow: str) -> None:
    """The package repeats a request by itself, under the key it made for it."""
    sent: list[str] = []

    class Lossy(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            sent.append(request.headers["Idempotency-Key"])
            if len(sent) == 1:
                raise httpx.ReadError("the answer was lost")
            return response

    key = product.key("read,invoke,cancel")
    with Knock(base_url=product.url, api_key=key, http_client=httpx.Client(transport=Lossy())) as client:
        client.workflows.trigger(workflow, recipients=["u1"])
    assert (len(sent), len(set(sent)), sent[0].startswith("stainless-python-retry-")) == (2, 1, True)
    with Knock(base_url=product.url, api_key=key) as client:
        assert len(list(client.workflow_recipient_runs.list(workflow=workflow))) == 1


def test_what_goes_wrong_arrives_as_the_packages_own_errors(
    client: Knock, workflow: str, product: Product
) -> None:
    with pytest.raises(knockapi.NotFoundError) as missing:
        client.workflows.trigger("nobody", recipients=["u1"])
    assert missing.value.body["code"] == "workflow_missing"  # type: ignore[index]
    with pytest.raises(knockapi.NotFoundError):
        client.workflows.cancel("nobody", cancellation_key="ck")
    with pytest.raises(knockapi.UnprocessableEntityError) as nobody:
        client.workflows.trigger(workflow, recipients=[])
    assert nobody.value.body["errors"][0]["field"] == "recipients"  # type: ignore[index]
    with pytest.raises(knockapi.AuthenticationError):
        client.with_options(api_key="wrong").workflows.trigger(workflow, recipients=["u1"])
    with pytest.raises(knockapi.PermissionDeniedError):
        client.with_options(api_key=product.key("read")).workflows.cancel(workflow, cancellation_key="ck")
    with pytest.raises(knockapi.NotFoundError):
        client.workflow_recipient_runs.get("0199d3f2-0000-7000-8000-000000000001")
    with pytest.raises(knockapi.NotFoundError):
        client.schedules.list(workflow=workflow)
