"""Courier's own Python package, unmodified, against the running product; and the curl of its tutorial."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import courier
import httpx
import pytest
from courier import Courier

from tests.live import Product

DELAY: Any = {"action": "delay", "duration": "1 hour"}


@pytest.fixture(scope="module")
def client(product: Product) -> Iterator[Courier]:
    """The vendor's client; only its address and its key are ours."""
    with Courier(base_url=product.url, api_key=product.key("read,invoke,cancel")) as client:
        yield client


@pytest.fixture
def native(product: Product) -> httpx.Client:
    """The native API, to see what became of what the package did."""
    return product.http


@pytest.fixture
def token() -> str:
    """One that no other test uses."""
    return f"user_{uuid4().hex}"


def status(native: httpx.Client, run_id: str) -> str:
    """The run's status by the native API."""
    return str(native.get(f"runs/{run_id}").raise_for_status().json()["status"])


def ad_hoc(client: Courier, token: str, **more: Any) -> str:
    """The id of a run that waits under that token."""
    automation: Any = {"cancelation_token": token, "steps": [DELAY]}
    return client.automations.invoke.invoke_ad_hoc(automation=automation, **more).run_id


def publish(native: httpx.Client, *, suffix: str = "ü") -> str:
    """The key of a published automation whose alias has a space, a slash and that suffix."""
    key = f"sdk-{uuid4().hex[:8]}"
    definition = {"cancelation_token": "refs.data.user_id", "steps": [{"id": "nap", **DELAY}]}
    body = {"key": key, "alias": f"Tmpl {key}/{suffix}", "name": key, "definition": definition}
    native.post("automations", json=body).raise_for_status()
    native.post(f"automations/{key}/publish").raise_for_status()
    return key


def test_the_package_is_the_one_we_speak_of() -> None:
    assert courier.__version__ == "9.13.0"


def test_steps_are_invoked_and_called_off_by_a_cancel_step(
    client: Courier, token: str, native: httpx.Client
) -> None:
    waiting = [
        ad_hoc(client, token, recipient="u1", data={"a": 1}, profile={"email": "a@b.c"}) for _ in range(2)
    ]
    spared = ad_hoc(client, token + "4")
    step: Any = {"action": "cancel", "cancelation_token": token}
    own = client.automations.invoke.invoke_ad_hoc(automation={"steps": [step]}).run_id
    runs = (*waiting, spared, own)
    assert [status(native, run) for run in runs] == ["cancelled", "cancelled", "waiting", "completed"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")
def test_the_tutorials_curl_cancels_with_only_the_host_changed(
    client: Courier, native: httpx.Client, product: Product
) -> None:
    run = ad_hoc(client, "user_123")
    command = (
        'curl -X POST $HOST/automations/invoke -H "Authorization: Bearer $COURIER_AUTH_TOKEN" '
        '-H "Content-Type: application/json" '
        """-d '{"automation":{"steps":[{"action":"cancel","cancelation_token":"user_123"}]}}'"""
    )
    variables = {"HOST": product.url, "COURIER_AUTH_TOKEN": product.key("read,invoke,cancel")}
    done = subprocess.run(["sh", "-c", command], env={**os.environ, **variables}, capture_output=True)
    assert (done.returncode, done.stdout[:10], status(native, run)) == (0, b'{"runId":"', "cancelled")


def test_a_template_is_invoked_by_its_id_and_by_its_alias(
    client: Courier, token: str, native: httpx.Client
) -> None:
    key = publish(native)
    for name in (key, f"Tmpl {key}/ü"):
        answer = client.automations.invoke.invoke_by_template(name, recipient=None, data={"user_id": token})
        run = native.get(f"runs/{answer.run_id}").json()
        assert (run["automation"], run["cancellation_token"], run["source"]) == (key, token, f"invoke/{name}")


def test_the_runs_of_a_template_are_listed_and_paged(client: Courier, native: httpx.Client) -> None:
    key = publish(native)
    ids = [
        client.automations.invoke.invoke_by_template(
            key, recipient="u", data={"user_id": f"{key}-{n}"}
        ).run_id
        for n in range(3)
    ]
    first = client.automations.runs.list(
        template_id=key, status="WAITING,PROCESSING", limit="2", start_date="2026-01-01"
    )
    assert [(run.run_id, run.status, run.source, run.template_id) for run in first.runs] == [
        (run_id, "WAITING", [f"invoke/{key}"], key) for run_id in (ids[2], ids[1])
    ]
    assert first.next_cursor is not None
    second = client.automations.runs.list(template_id=key, limit="2", cursor=first.next_cursor)
    assert ([run.run_id for run in second.runs], second.next_cursor) == ([ids[0]], None)


def test_the_steps_of_a_run_are_listed(client: Courier, token: str, native: httpx.Client) -> None:
    key = publish(native)
    run_id = client.automations.invoke.invoke_by_template(key, recipient="u", data={"user_id": token}).run_id
    (step,) = client.automations.runs.list_steps(run_id).steps
    assert (step.action, step.status, step.step_id) == ("delay", "WAITING", "nap")
    assert step.created_at == step.updated_at is not None
    client.journeys.cancel(run_id=run_id)
    assert [step.status for step in client.automations.runs.list_steps(run_id).steps] == ["CANCELED"]


def test_a_run_is_cancelled_directly(client: Courier, token: str, native: httpx.Client) -> None:
    run_id = ad_hoc(client, token)
    for _ in range(2):
        answer: Any = client.journeys.cancel(run_id=run_id)
        assert (type(answer).__name__, answer.run_id, answer.status) == ("RunIDBranch", run_id, "CANCELED")
    assert status(native, run_id) == "cancelled"


def test_runs_are_cancelled_directly_by_their_token(
    client: Courier, token: str, native: httpx.Client
) -> None:
    run_id = ad_hoc(client, token)
    answer: Any = client.journeys.cancel(cancelation_token=token)
    assert (type(answer).__name__, answer.cancelation_token) == ("TokenBranch", token)
    assert status(native, run_id) == "cancelled"


def test_an_idempotency_key_makes_a_second_call_the_first(client: Courier, token: str) -> None:
    expires = "2099-01-01T00:00:00Z"
    first = ad_hoc(client, token, idempotency_key=token, x_idempotency_expiration=expires)
    assert ad_hoc(client, token, idempotency_key=token, x_idempotency_expiration=expires) == first


def test_what_goes_wrong_arrives_as_the_packages_own_errors(
    client: Courier, token: str, native: httpx.Client, product: Product
) -> None:
    with pytest.raises(courier.NotFoundError) as missing:
        client.automations.invoke.invoke_by_template("nobody", recipient=None)
    assert missing.value.body == {"message": "Automation not found", "type": "invalid_request_error"}
    with pytest.raises(courier.BadRequestError) as unresolved:
        client.automations.invoke.invoke_by_template(publish(native), recipient=None, data={})
    assert "(data.user_id)" in str(unresolved.value.body)
    with pytest.raises(courier.NotFoundError):
        client.automations.runs.list_steps("1-65f240a0-47a6a120c8374de9bcf9f22c")
    with pytest.raises(courier.AuthenticationError):
        client.with_options(api_key="wrong").automations.runs.list()
    with pytest.raises(courier.PermissionDeniedError):
        client.with_options(api_key=product.key("read")).journeys.cancel(cancelation_token=token)
