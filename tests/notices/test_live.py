"""The running product tells a receiver outside it, soon, and starts what follows a cancelled run."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.channels.sinks import HttpSink
from tests.live import started

DELAY: dict[str, Any] = {"action": "delay", "duration": "1 hour"}


def test_a_cancelled_run_is_told_and_followed_within_seconds() -> None:
    with (
        HttpSink() as sink,
        started(ALLOW_PRIVATE_NETWORKS="127.0.0.1") as product,
        product.client("admin") as admin,
    ):
        webhook = admin.post("webhooks", json={"url": sink.url(), "events": ["run.cancelled"]})
        assert webhook.status_code == 201
        key = {"key": "after", "name": "After", "definition": {"steps": [DELAY]}}
        assert admin.post("automations", json=key).status_code == 201
        assert admin.post("automations/after/publish", json={}).status_code == 200
        definition = {"on_cancel": {"invoke": "after"}, "cancellation_token": "t", "steps": [DELAY]}
        (run,) = admin.post("invocations", json={"definition": definition}).json()["runs"]
        receipt = admin.post("cancellations", json={"filter": {"token": "t"}}).json()
        deadline = time.monotonic() + 15
        followers: list[Any] = []
        while time.monotonic() < deadline and not (sink.received and followers):
            time.sleep(0.05)
            followers = admin.get("runs", params={"source": f"run/{run['id']}"}).json()["items"]
        told = json.loads(sink.received[0].body)
        assert (told["data"]["run"]["id"], told["data"]["cancellation"]["id"]) == (
            run["id"],
            receipt["id"],
        )
        assert [follower["automation"] for follower in followers] == ["after"]
        while time.monotonic() < deadline:
            (item,) = admin.get(f"webhooks/{webhook.json()['id']}/deliveries").json()["items"]
            if item["status"] == "delivered":
                break
        assert (item["run"], item["last_response_status"]) == (run["id"], 200)
