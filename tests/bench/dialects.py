"""What a dialect costs over the native call: the same invoke and the same cancel, in turn, under the same server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import partial
from typing import Any

import django

from tests.bench.bars import timed
from tests.bench.figures import line, milliseconds, percentile
from tests.bench.web import load, post, server

SECONDS = 5.0 if os.environ.get("BENCH_SMALL") else 60.0
TYPE = "application/json; charset=utf-8"

Call = Callable[[http.client.HTTPConnection, int], None]


def main() -> None:
    django.setup()
    from automations.models import ApiKey
    from tests.scenes import DELAY, SEND, production, publish

    publish("bench", {"cancellation_token": "${`bench-${data.user_id}`}", "steps": [DELAY, SEND]})
    key, text = ApiKey.objects.issue(
        environment=production(), name="bench", scopes=("invoke", "cancel"), created_by="bench", signs=True
    )
    with server() as port:
        for title, calls in (("invoke", invokes(text, key.workspace)), ("cancel", cancels(text))):
            compare(title, calls, port=port)


def invokes(key: str, workspace: str) -> Mapping[str, tuple[Call, str | None]]:
    """By name the call, and that of the native one to which it is compared."""

    def native(number: int) -> Any:
        return {"automation": "bench", "recipient": "u", "data": _data(number)}

    def courier(number: int) -> Any:
        return {"recipient": "u", "data": _data(number)}

    def knock(number: int) -> Any:
        return {"recipients": ["u"], "data": _data(number)}

    def suprsend(number: int) -> Any:
        return {"workflow": "bench", "recipients": ["u"], "data": _data(number)}

    def signed(connection: http.client.HTTPConnection, number: int) -> None:
        body = json.dumps(suprsend(number)).encode()
        date = formatdate(usegmt=True)
        message = "\n".join(["POST", hashlib.md5(body).hexdigest(), TYPE, date, "/trigger/"])
        signature = base64.b64encode(hmac.digest(key.encode(), message.encode(), "sha256")).decode()
        headers = {"Authorization": f"{workspace}:{signature}", "Date": date, "Content-Type": TYPE}
        connection.request("POST", "/trigger/", body, headers)
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (202, True)

    return {
        "native": (_call("/api/v1/invocations", native, key, 201), None),
        "native, with an Idempotency-Key": (
            _call("/api/v1/invocations", native, key, 201, idempotent=True),
            None,
        ),
        "Courier": (_call("/automations/bench/invoke", courier, key, 200), "native"),
        "Knock, with an Idempotency-Key": (
            _call("/v1/workflows/bench/trigger", knock, key, 200, idempotent=True),
            "native, with an Idempotency-Key",
        ),
        "SuprSend": (_call("/trigger/", suprsend, key, 202), "native"),
        "SuprSend, signed": (signed, "native"),
    }


def cancels(key: str) -> Mapping[str, tuple[Call, str | None]]:
    """The same of a cancel that matches nothing, so that every one costs the same."""

    def by_key(number: int) -> Any:
        return {"filter": {"automation": "bench", "key": f"k{number}"}}

    return {
        "native, by token": (
            _call("/api/v1/cancellations", lambda n: {"filter": {"token": f"t{n}"}}, key, 200),
            None,
        ),
        "native, by automation and key": (_call("/api/v1/cancellations", by_key, key, 200), None),
        "Courier, by token": (
            _call("/journeys/cancel", lambda n: {"cancelation_token": f"t{n}"}, key, 202),
            "native, by token",
        ),
        "Knock, by key": (
            _call("/v1/workflows/bench/cancel", lambda n: {"cancellation_key": f"k{n}"}, key, 204),
            "native, by automation and key",
        ),
        "SuprSend, by slug and key": (
            _call(
                "/v1/workflow_run/cancel/",
                lambda n: {"workflow_slug": "bench", "cancellation_key": f"k{n}"},
                key,
                200,
            ),
            "native, by automation and key",
        ),
    }


def _data(number: int) -> dict[str, Any]:
    return {"user_id": f"u{number}", "plan": "pro"}


def _call(path: str, body: Callable[[int], Any], key: str, status: int, *, idempotent: bool = False) -> Call:
    def call(connection: http.client.HTTPConnection, number: int) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        if idempotent:
            headers["Idempotency-Key"] = os.urandom(12).hex()
        assert post(connection, path, body(number), headers)[0] == status

    return call


def compare(title: str, calls: Mapping[str, tuple[Call, str | None]], *, port: int) -> None:
    """By one caller, a call of each in turn: so whatever else the machine does, it does to all of them."""
    kinds = list(calls.items())
    times: dict[str, list[float]] = {name: [] for name in calls}

    def each(connection: http.client.HTTPConnection, number: int) -> None:
        for name, (call, _) in kinds:
            times[name].append(timed(partial(call, connection, number)))

    load(each, port=port, callers=1, seconds=SECONDS / 10)
    times |= {name: [] for name in calls}
    load(each, port=port, callers=1, seconds=SECONDS)
    typical = {name: percentile(some, 0.5) for name, some in times.items()}
    for name, (_, native) in kinds:
        figure = f"{1 / typical[name]:,.0f}/s, {milliseconds(times[name])}"
        if native is not None:
            figure += f", {typical[native] / typical[name]:.2f} of the native rate (at least 0.90 wanted)"
        line(f"{title}, {name}", figure)


if __name__ == "__main__":
    main()
