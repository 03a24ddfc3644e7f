"""What a dialect costs over the native call: the same invoke and the same cancel, in turn, by their processor time.

A server that is busy answers as many requests a second as its processors have time for.
"""

from __future__ import annotations

import base64
import gc
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import partial
from typing import Any

import django

from tests.bench.figures import line, percentile

ROUNDS = 50 if os.environ.get("BENCH_SMALL") else 300
WARM_UP = 20
TYPE = "application/json; charset=utf-8"

Call = Callable[[int], None]
Calls = Mapping[str, tuple[Call, str | None]]


def main() -> None:
    django.setup()
    from automations.models import ApiKey
    from tests.scenes import DELAY, SEND, production, publish

    publish("bench", {"cancellation_token": "${`bench-${data.user_id}`}", "steps": [DELAY, SEND]})
    key, text = ApiKey.objects.issue(
        environment=production(), name="bench", scopes=("invoke", "cancel"), created_by="bench", signs=True
    )
    compare("invoke", invokes(text, key.workspace))
    compare("cancel", cancels(text))


def invokes(key: str, workspace: str) -> Calls:
    """By name the call, and that of the native one to which it is compared."""

    def native(number: int) -> Any:
        return {"automation": "bench", "recipient": "u", "data": _data(number)}

    def courier(number: int) -> Any:
        return {"recipient": "u", "data": _data(number)}

    def knock(number: int) -> Any:
        return {"recipients": ["u"], "data": _data(number)}

    def suprsend(number: int) -> Any:
        return {"workflow": "bench", "recipients": ["u"], "data": _data(number)}

    again = "native, with an Idempotency-Key"
    return {
        "native": (_call("/api/v1/invocations", native, 201, key=key), None),
        again: (_call("/api/v1/invocations", native, 201, idempotent=True, key=key), None),
        "Courier": (_call("/automations/bench/invoke", courier, 200, key=key), "native"),
        "Knock, with an Idempotency-Key": (
            _call("/v1/workflows/bench/trigger", knock, 200, idempotent=True, key=key), again,
        ),
        "SuprSend": (_call("/trigger/", suprsend, 202, key=key), "native"),
        "SuprSend, signed": (_call("/trigger/", suprsend, 202, workspace=workspace, key=key), "native"),
    }  # fmt: skip


def cancels(key: str) -> Calls:
    """The same of a cancel that matches nothing, so that every one costs the same."""

    def by_token(number: int) -> Any:
        return {"filter": {"token": f"t{number}"}}

    def by_label(number: int) -> Any:
        return {"filter": {"automation": "bench", "token": f"k{number}"}}

    def courier(number: int) -> Any:
        return {"cancelation_token": f"t{number}"}

    def knock(number: int) -> Any:
        return {"cancellation_key": f"k{number}"}

    def suprsend(number: int) -> Any:
        return {"workflow_slug": "bench", "cancellation_key": f"k{number}"}

    token, label = "native, by token", "native, by automation and token"
    return {
        token: (_call("/api/v1/cancellations", by_token, 200, key=key), None),
        label: (_call("/api/v1/cancellations", by_label, 200, key=key), None),
        "Courier, by token": (_call("/journeys/cancel", courier, 202, key=key), token),
        "Knock, by key": (_call("/v1/workflows/bench/cancel", knock, 204, key=key), label),
        "SuprSend, by slug and key": (_call("/v1/workflow_run/cancel/", suprsend, 200, key=key), label),
    }


def _data(number: int) -> dict[str, Any]:
    return {"user_id": f"u{number}", "plan": "pro"}


def _call(
    path: str,
    body: Callable[[int], Any],
    status: int,
    *,
    key: str,
    workspace: str | None = None,
    idempotent: bool = False,
) -> Call:
    """One POST, with the key or, for a workspace, signed with it."""
    from django.test import Client

    client = Client(headers={"Host": "localhost"})

    def call(number: int) -> None:
        content = json.dumps(body(number)).encode()
        headers = {"Authorization": f"Bearer {key}"}
        if workspace is not None:
            headers = _signed(path, content, key=key, workspace=workspace)
        if idempotent:
            headers["Idempotency-Key"] = os.urandom(12).hex()
        answer: Any = client.generic("POST", path, content, content_type=TYPE, headers=headers)
        assert answer.status_code == status, answer.content

    return call


def _signed(path: str, content: bytes, *, key: str, workspace: str) -> dict[str, str]:
    """As SuprSend's SDKs do."""
    date = formatdate(usegmt=True)
    message = "\n".join(["POST", hashlib.md5(content).hexdigest(), TYPE, date, path])
    signature = base64.b64encode(hmac.digest(key.encode(), message.encode(), "sha256")).decode()
    return {"Authorization": f"{workspace}:{signature}", "Date": date}


def compare(title: str, calls: Calls) -> None:
    """A call of each in turn: so whatever else the machine does, it does to all of them."""
    from tests.bench.processor import taken

    times: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    for number in range(WARM_UP + ROUNDS):
        for name, (call, _) in calls.items():
            seconds = taken(partial(call, number))
            if number >= WARM_UP:
                times[name].append(seconds)
    gc.enable()
    typical = {name: percentile(some, 0.5) for name, some in times.items()}
    for name, (_, native) in calls.items():
        figure = f"{typical[name] * 1000:.2f} ms of the processor"
        if native is not None:
            figure += f", {typical[native] / typical[name]:.2f} of the native rate (at least 0.90 wanted)"
        line(f"{title}, {name}", figure)


if __name__ == "__main__":
    main()
