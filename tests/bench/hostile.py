"""What one caller whose token loops for ever costs the others, and itself."""

from __future__ import annotations

import http.client
import threading
import time

import django

from tests.bench.figures import line, milliseconds
from tests.bench.web import load, post, server

SECONDS = 8.0
STEPS = [{"action": "delay", "duration": "1 hour"}]


def loop(port: int, key: str, stop: threading.Event, cost: list[float]) -> None:
    """Invokes with a token that never ends, without pause; another text every time, since the breaker knows one
    by its text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not stop.is_set():
        token = f"${{(() => {{ /*{len(cost)}*/ while (true) {{}} }})()}}"
        body = {"definition": {"cancellation_token": token, "steps": STEPS}, "data": {"user_id": "x"}}
        begun = time.perf_counter()
        status, _ = post(connection, "/api/v1/invocations", body, {"Authorization": f"Bearer {key}"})
        assert status in (422, 503), status
        cost.append(time.perf_counter() - begun)


def main() -> None:
    django.setup()
    from automations.models import ApiKey
    from tests.scenes import production

    hostile, ordinary = (
        ApiKey.objects.issue(environment=production(), name=name, scopes=("invoke",), created_by="bench")[1]
        for name in ("hostile", "ordinary")
    )

    def call(connection: http.client.HTTPConnection, number: int) -> None:
        definition = {"cancellation_token": "${data.user_id.toUpperCase() + '-x'}", "steps": STEPS}
        body = {"definition": definition, "data": {"user_id": f"u{number}"}}
        assert (
            post(connection, "/api/v1/invocations", body, {"Authorization": f"Bearer {ordinary}"})[0] == 201
        )

    cost: list[float] = []
    stop = threading.Event()
    with server() as port:
        load(call, port=port, callers=2, seconds=1)
        alone = load(call, port=port, callers=2, seconds=SECONDS)
        thread = threading.Thread(target=loop, args=(port, hostile, stop, cost))
        thread.start()
        beside = load(call, port=port, callers=2, seconds=SECONDS)
        stop.set()
        thread.join()
    line("ordinary callers alone", milliseconds(alone))
    line("ordinary callers beside an endless one (p99 < 100 ms)", milliseconds(beside))
    line("the endless caller itself (at most 500 ms)", milliseconds(cost))


if __name__ == "__main__":
    main()
