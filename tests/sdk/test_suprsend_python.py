"""SuprSend's own Python package, unmodified, against the running product; it has no method for the cancel."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
import suprsend
from suprsend import Suprsend, Workflow, WorkflowTriggerRequest

from tests.live import Product

DEFINITION: dict[str, Any] = {
    "steps": [
        {"action": "delay", "duration": "1 hour"},
        {"action": "send", "message": {"content": {"title": "Hi", "body": "there"}}},
    ]
}


@pytest.fixture(scope="module")
def workspace(product: Product) -> dict[str, str]:
    """What an operator is given."""
    printed: dict[str, str] = json.loads(product.manage("create_api_key", "shop", "--suprsend"))
    return printed


@pytest.fixture(params=["signed", "signed below /compat", "bearer"])
def client(product: Product, workspace: dict[str, str], request: pytest.FixtureRequest) -> Any:
    """The vendor's client; only its address and its keys are ours."""
    key, secret = workspace["workspace_key"], workspace["workspace_secret"]
    if request.param == "bearer":
        return Suprsend.with_workspace_api_key(key, secret, base_url=product.url)
    folder = "/compat/suprsend" if "compat" in request.param else ""
    return Suprsend(key, secret, base_url=product.url + folder)


@pytest.fixture
def native(product: Product) -> httpx.Client:
    """The native API, to see what became of what the package did."""
    return product.http


@pytest.fixture
def workflow(native: httpx.Client) -> str:
    key = f"sdk-{uuid4().hex[:8]}"
    native.post("automations", json={"key": key, "name": key, "definition": DEFINITION}).raise_for_status()
    native.post(f"automations/{key}/publish").raise_for_status()
    return key


def trigger(client: Any, workflow: str, *recipients: Any, **given: Any) -> dict[str, Any]:
    body = {"workflow": workflow, "recipients": list(recipients), "data": {"n": "é"}}
    answer: dict[str, Any] = client.workflows.trigger(WorkflowTriggerRequest(body, **given))
    return answer


def runs(native: httpx.Client, message_id: str) -> dict[str, tuple[str, str]]:
    """Each recipient's run and its status."""
    shown = native.get(f"invocations/{message_id}").raise_for_status().json()["runs"]
    return {run["recipient"]: (run["id"], run["status"]) for run in shown}


def cancel(client: Any, **filters: Any) -> list[str]:
    """By the package's own way of sending, signature and all."""
    response = client.request("POST", f"{client.base_url}v1/workflow_run/cancel/", filters)
    assert response.status_code == 200, response.text
    return sorted(response.json()["execution_ids"])


def test_the_package_is_the_one_we_speak_of() -> None:
    assert suprsend.__version__ == "0.20.0"


def test_delayed_runs_are_triggered_and_called_off(client: Any, workflow: str, native: httpx.Client) -> None:
    key = uuid4().hex
    known = {"distinct_id": f"u1-{key}", "$email": [f"{key}@b.co"]}
    answer = trigger(client, workflow, known, "u2", tenant_id="t", cancellation_key=key)
    assert (answer["success"], answer["status_code"]) == (True, 202)
    first = runs(native, answer["message"])
    assert {status for _, status in first.values()} == {"waiting"}
    assert cancel(client, recipients=[f"{key}@b.co"], workflow_slug=workflow) == [first[f"u1-{key}"][0]]
    assert runs(native, answer["message"])["u2"][1] == "waiting"
    assert cancel(client, cancellation_key=key, tenant_id="t") == [first["u2"][0]]
    assert {status for _, status in runs(native, answer["message"]).values()} == {"cancelled"}
    later = trigger(client, workflow, known, cancellation_key=key)["message"]
    assert {status for _, status in runs(native, later).values()} == {"waiting"}
    steps = native.get(f"runs/{first['u2'][0]}").json()["steps"]
    assert [step["status"] for step in steps] == ["cancelled", "cancelled"]


def test_the_same_key_starts_one_run(client: Any, workflow: str, native: httpx.Client) -> None:
    key = uuid4().hex
    first, again = (trigger(client, workflow, "u1", idempotency_key=key) for _ in range(2))
    assert first == again
    assert cancel(client, idempotency_key=key) == [runs(native, first["message"])["u1"][0]]


def test_many_are_triggered_at_once(client: Any, workflow: str) -> None:
    bulk = client.workflows.bulk_trigger_instance()
    for name in (workflow, "nope", workflow):
        bulk.append(WorkflowTriggerRequest({"workflow": name, "recipients": ["u1"], "data": {}}))
    answer = bulk.trigger()
    assert (answer.status, answer.total, answer.success, answer.failure) == ("partial", 3, 2, 1)
    assert answer.failed_records[0]["error"] == "workflow 'nope' not found"


def test_the_legacy_form_brings_its_message_and_delay(client: Any, native: httpx.Client) -> None:
    name, user = f"wf-{uuid4().hex[:8]}", {"distinct_id": "u1", "$email": ["a@b.co"]}
    body = {
        "name": name, "template": "tpl", "notification_category": "transactional", "delay": "1h", "users": [user],
        "data": {},
    }  # fmt: skip
    answer = client.trigger_workflow(body)
    assert (answer["success"], answer["status_code"]) == (True, 202)
    (run,) = native.get("runs", params={"source": f"trigger/{name}"}).json()["items"]
    assert (run["status"], run["recipient"]) == ("waiting", "u1")
    bulk = client.bulk_workflows.new_instance()
    bulk.append(Workflow(body), Workflow(body))
    assert bulk.trigger().success == 2
    assert len(native.get("runs", params={"source": f"trigger/{name}"}).json()["items"]) == 3


def test_what_goes_wrong_is_told_in_the_packages_own_way(client: Any, product: Product) -> None:
    answer = trigger(client, "nope", "u1")
    assert (answer["success"], answer["status_code"]) == (False, 404)
    assert answer["message"] == "workflow 'nope' not found"
    empty = client.request("POST", f"{client.base_url}v1/workflow_run/cancel/", {"recipients": []})
    text = "at least one filter is required: execution_id, recipients, idempotency_key"
    assert (empty.status_code, empty.json()) == (400, {"code": 400, "message": text})


def test_a_wrong_secret_is_told_too(product: Product, workspace: dict[str, str], workflow: str) -> None:
    for key, secret in ((workspace["workspace_key"], "wrong"), ("their-own-key", "wrong")):
        stranger = Suprsend(key, secret, base_url=product.url)
        answer = trigger(stranger, workflow, "u1")
        assert (answer["success"], answer["status_code"]) == (False, 401)
        assert "not valid" in answer["message"]
