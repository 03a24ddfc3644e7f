"""What is owed when runs end: told by one deliverer at a time, started once, and none missed by a new endpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from automations import execution
from automations.models import (
    KEPT_SECONDS,
    LiveRun,
    OnCancelStart,
    Run,
    WebhookDelivery,
    WebhookEndpoint,
    database_now,
    forget_endpoints,
)
from automations.notices import delivery, endpoints
from tests.notices.scene import endpoint
from tests.races.held import held, overlap
from tests.scenes import DELAY, SEND, archive_all, cancel_runs, finish, invoke, production, publish, start

pytestmark = pytest.mark.django_db
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "nobody"}


@pytest.fixture(autouse=True)
def _no_endpoints(db: None) -> Iterator[None]:
    yield
    WebhookDelivery.objects.all().delete()
    WebhookEndpoint.objects.all().delete()
    forget_endpoints()


def test_of_two_deliverers_one_takes_a_row_and_the_other_the_rest() -> None:
    endpoint()
    invoke(CANCEL, recipients=["a", "b", "c"])
    first, second = overlap(
        lambda: delivery.claim(most=2, busy={}), lambda: delivery.claim(most=2, busy={}), at="delivery.read"
    )
    taken = [parcel.delivery_id for parcel in first + second]
    assert (len(first), len(second)) == (2, 1)
    assert len(set(taken)) == 3


@pytest.mark.parametrize("at", ["invoke.prepared", "gate.passed", "invoke.committed"])
def test_two_that_carry_out_the_same_on_cancel_start_one_run(at: str) -> None:
    publish("after", {"steps": [DELAY]})
    invoke(definition={"cancellation_token": "t", "on_cancel": {"invoke": "after"}, "steps": [DELAY]})
    cancel_runs(token="t")
    archive_all()

    def carry_out_as_if_the_lease_were_over() -> int:
        OnCancelStart.objects.update(due_at=database_now())
        return execution.start_what_follows(most=10)

    overlap(lambda: execution.start_what_follows(most=10), carry_out_as_if_the_lease_were_over, at=at)
    run = Run.objects.get(source__startswith="run/")
    assert run.events.filter(kind="invoked").count() == 1
    assert Run.objects.get(status="cancelled").events.filter(kind="followed").count() == 1
    assert OnCancelStart.objects.count() == 0


def test_two_that_archive_the_same_runs_owe_each_once() -> None:
    endpoint()
    publish("after", {"steps": [DELAY]})
    definition = {"cancellation_token": "t", "on_cancel": {"invoke": "after"}, "steps": [DELAY]}
    invoke(definition=definition, recipients=["a", "b"])
    cancel_runs(token="t")

    def keep_house() -> bool:
        return execution.keep_house(production())

    overlap(keep_house, keep_house, at="archive.read")
    archive_all()
    assert LiveRun.objects.count() == 0
    assert (WebhookDelivery.objects.count(), OnCancelStart.objects.count()) == (2, 2)


@pytest.mark.parametrize("at", ["gate.passed", "finish.moved"])
def test_an_endpoint_is_acknowledged_when_no_end_can_miss_it(at: str) -> None:
    """A run that ends while it is made may be told or not; one that ends afterwards is told."""
    invoke(SEND)
    done = [execution.perform(task) for task in start()]

    def make() -> float:
        begun = time.monotonic()
        endpoints.create(
            environment=production(), url="https://example.com/", events=["run.completed"], description="",
            by="test",
        )  # fmt: skip
        return time.monotonic() - begun

    with held(lambda: finish(*done), at=at) as finishing:
        making = finishing.meanwhile(make)
        assert not making.has_ended  # it waits for the gate that the finish holds; on SQLite for the writer
    assert making.result() >= KEPT_SECONDS  # other processes may go by what they read for so long
    told = WebhookDelivery.objects.count()
    assert told in (0, 1)
    invoke(CANCEL)
    assert WebhookDelivery.objects.count() == told + 1
