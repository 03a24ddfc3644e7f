"""What the vendors' packages make of 429: their own error, or another try once `Retry-After` is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import courier
import knockapi
import pytest
from courier import Courier
from knockapi import Knock
from suprsend import Suprsend, WorkflowTriggerRequest

from tests.live import Product, started

pytestmark = pytest.mark.slow
BURST = 8  # more than the limit of all web processes together

AD_HOC: Any = {"cancelation_token": "t", "steps": [{"action": "delay", "duration": "1 hour"}]}
DEFINITION = {"cancellation_token": "t", "steps": [{"action": "delay", "duration": "1 hour"}]}


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """One that takes an invoke a second of each key."""
    with started(INVOKES_PER_SECOND="1") as product:
        body = {"key": "nap", "name": "nap", "definition": DEFINITION}
        product.http.post("automations", json=body).raise_for_status()
        product.http.post("automations/nap/publish").raise_for_status()
        yield product


def test_couriers_package_raises_its_own_error_or_waits(product: Product) -> None:
    key = product.key("read,invoke,cancel")
    with Courier(base_url=product.url, api_key=key, max_retries=0) as hasty:
        refusal = refused(lambda: hasty.automations.invoke.invoke_ad_hoc(automation=AD_HOC))
        assert isinstance(refusal, courier.RateLimitError)
        assert refusal.response.headers["Retry-After"] == "1"
        assert (refusal.body or {})["type"] == "rate_limit_error"  # type: ignore[index]
        hasty.journeys.cancel(cancelation_token="t")  # which has a limit of its own
    with Courier(base_url=product.url, api_key=key) as patient:
        begun = time.monotonic()
        runs = {patient.automations.invoke.invoke_ad_hoc(automation=AD_HOC).run_id for _ in range(3)}
    assert len(runs) == 3
    assert time.monotonic() - begun < 10


def test_knocks_package_raises_its_own_error_or_waits(product: Product) -> None:
    key = product.key("read,invoke")
    with Knock(base_url=product.url, api_key=key, max_retries=0) as hasty:
        refusal = refused(lambda: hasty.workflows.trigger("nap", recipients=["u1"]))
        assert isinstance(refusal, knockapi.RateLimitError)
        assert refusal.response.headers["Retry-After"] == "1"
        assert (refusal.body or {})["type"] == "rate_limit_error"  # type: ignore[index]
    with Knock(base_url=product.url, api_key=key) as patient:
        runs = {patient.workflows.trigger("nap", recipients=["u1"]).workflow_run_id for _ in range(3)}
    assert len(runs) == 3


def test_suprsends_package_tells_it(product: Product) -> None:
    workspace = json.loads(product.manage("create_api_key", "shop", "--suprsend"))
    client = Suprsend(workspace["workspace_key"], workspace["workspace_secret"], base_url=product.url)
    request = WorkflowTriggerRequest({"workflow": "nap", "recipients": ["u1"]})
    answers = [client.workflows.trigger(request) for _ in range(BURST)]
    assert {(answer["success"], answer["status_code"]) for answer in answers} == {(True, 202), (False, 429)}


def refused(call: Callable[[], Any]) -> courier.APIStatusError | knockapi.APIStatusError:
    """What the package raised for the first of many calls that was one too many."""
    for _ in range(BURST):
        try:
            call()
        except (courier.APIStatusError, knockapi.APIStatusError) as refusal:
            return refusal
    raise AssertionError("no call was refused")
