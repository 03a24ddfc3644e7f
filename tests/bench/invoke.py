"""Invoking by HTTP beside a bare Django REST framework view with one ORM insert, under the same server."""

from __future__ import annotations

import http.client

import django

from tests.bench.figures import line, milliseconds, percentile
from tests.bench.web import load, post, server

CALLERS = 4
SECONDS = 5.0
ROUNDS = 3


def main() -> None:
    django.setup()
    from automations.models import ApiKey
    from tests.scenes import DELAY, SEND, production, publish

    publish("bench", {"cancellation_token": "${`bench-${data.user_id}`}", "steps": [DELAY, SEND]})
    _, key = ApiKey.objects.issue(
        environment=production(), name="bench", scopes=("invoke",), created_by="bench"
    )
    headers = {"Authorization": f"Bearer {key}"}

    def invoke(connection: http.client.HTTPConnection, number: int) -> None:
        body = {"automation": "bench", "data": {"user_id": f"u{number}", "plan": "pro"}}
        assert post(connection, "/api/v1/invocations", body, headers)[0] == 201

    def bare(connection: http.client.HTTPConnection, number: int) -> None:
        body = {"automation": "bench", "data": {"user_id": f"u{number}", "plan": "pro"}}
        assert post(connection, "/bench/bare", body, {})[0] == 201

    with server() as port:
        load(bare, port=port, callers=CALLERS, seconds=1)
        load(invoke, port=port, callers=CALLERS, seconds=1)
        rates: dict[str, list[float]] = {"bare": [], "invoke": []}
        times: dict[str, list[float]] = {"bare": [], "invoke": []}
        for _ in range(ROUNDS):
            for name, call in (("bare", bare), ("invoke", invoke)):
                taken = load(call, port=port, callers=CALLERS, seconds=SECONDS)
                rates[name].append(len(taken) / SECONDS)
                times[name] += taken
    for name in ("bare", "invoke"):
        line(f"{name}, requests/s (median of {ROUNDS})", f"{percentile(rates[name], 0.5):,.0f}")
        line(f"{name}, latency with {CALLERS} callers", milliseconds(times[name]))
    ratio = percentile(rates["invoke"], 0.5) / percentile(rates["bare"], 0.5)
    line("ratio (at least 0.5 expected)", f"{ratio:.2f}")


if __name__ == "__main__":
    main()
