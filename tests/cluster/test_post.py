"""The post beside a real pump: deliveries go out and come back without the pump waiting for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from automations.cluster import pump
from automations.models import OnCancelStart, Run, WebhookDelivery, WebhookEndpoint, forget_endpoints
from tests.channels.sinks import HttpSink, reply
from tests.notices.scene import endpoint
from tests.scenes import DELAY, SEND, cancel_runs, invoke, publish, run_of, status

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "nobody"}


@pytest.fixture
def sink(settings: Any) -> Iterator[HttpSink]:
    """A receiver that may be reached."""
    settings.ALLOW_PRIVATE_NETWORKS = ("127.0.0.1",)
    with HttpSink() as sink:
        yield sink
    forget_endpoints()


def pump_until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Shift after shift, as the broker has them worked, until it holds; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        pump.run_pump()


def delivered() -> int:
    return WebhookDelivery.objects.filter(status="delivered").count()


def test_a_shift_has_every_end_told(sink: HttpSink) -> None:
    endpoint(url=sink.url())
    publish("after", {"steps": [DELAY]})
    for _ in range(30):
        invoke(SEND)
    definition = {"cancellation_token": "t", "on_cancel": {"invoke": "after"}, "steps": [DELAY]}
    invoke(definition=definition, recipients=["a", "b"])
    cancel_runs(token="t")
    pump_until(lambda: delivered() == 32 and OnCancelStart.objects.count() == 0)
    assert len({received.headers["webhook-id"] for received in sink.received}) == len(sink.received) == 32
    assert Run.objects.filter(source__startswith="run/").count() == 2


def test_a_receiver_that_hangs_holds_up_neither_the_steps_nor_the_others(sink: HttpSink) -> None:
    let_go = threading.Event()

    def hang(request: Any) -> None:
        let_go.wait(20)
        reply(200)(request)

    endpoint(url=sink.on("/hangs", hang))
    endpoint(url=sink.url("/quick"))
    for _ in range(12):
        invoke(CANCEL)
    run = run_of(invoke(SEND))
    begun = time.monotonic()
    pump.run_pump()
    assert status(run) == "completed"
    assert time.monotonic() - begun < 4
    pump_until(lambda: delivered() == 13)
    assert {received.path for received in sink.received} == {"/hangs", "/quick"}
    let_go.set()
    pump_until(lambda: sum(received.path == "/hangs" for received in sink.received) >= 8)
    pump_until(lambda: not WebhookDelivery.objects.filter(lease_until__isnull=False).exists())
    assert not WebhookEndpoint.objects.filter(failing_since__isnull=False).exists()
