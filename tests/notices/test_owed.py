"""Every end of a run owes its endpoints a delivery, in the transaction that ends it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from automations import cancellation, execution
from automations.execution import housekeeping
from automations.models import (
    Environment,
    LiveRun,
    OnCancelStart,
    WebhookDelivery,
    WebhookEndpoint,
    database_now,
    forget_endpoints,
    webhook,
)
from tests.captured import Captured
from tests.notices.scene import endpoint, owed
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    production,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "nobody"}
IMPOSSIBLE: dict[str, Any] = {"action": "delay", "duration": "refs.data.nothing"}


def test_a_run_that_completes_or_fails_is_owed() -> None:
    told = endpoint()
    good, bad = run_of(invoke(SEND)), run_of(invoke(SEND, IMPOSSIBLE))
    work_off()
    assert owed() == [(good.pk, "run.completed"), (bad.pk, "run.failed")]
    row = WebhookDelivery.objects.get(run=good)
    assert (row.endpoint, row.status, row.attempts, row.next_attempt_at) == (told, "pending", 0, row.at)


def test_a_run_that_ends_where_it_begins_is_owed() -> None:
    endpoint()
    done = run_of(invoke(CANCEL))
    failed = run_of(invoke(IMPOSSIBLE))
    assert owed() == [(done.pk, "run.completed"), (failed.pk, "run.failed")]


def test_a_run_whose_last_attempt_is_lost_is_owed() -> None:
    endpoint()
    run, again = run_of(invoke({**SEND, "on_crash": "fail"})), run_of(invoke(SEND))
    start()
    expire_leases()
    assert housekeeping.reap(production()) == 2
    assert (status(run), status(again)) == ("failed", "waiting")
    assert owed() == [(run.pk, "run.failed")]


def test_a_cancelled_run_is_owed_once_it_is_archived_though_it_never_started_a_step() -> None:
    endpoint()
    run = run_of(invoke(DELAY, SEND, token="t"))
    receipt = cancel_runs(token="t")
    assert owed() == []
    archive_all()
    assert owed() == [(run.pk, "run.cancelled")]
    row = WebhookDelivery.objects.get()
    assert (row.cancellation_id, row.at) == (receipt.pk, receipt.as_of)


def test_a_cancelled_run_with_a_step_in_flight_is_owed_when_that_has_ended() -> None:
    endpoint()
    run = run_of(invoke(SEND, SEND, token="t"))
    (task,) = start()
    cancel_runs(token="t")
    execution.keep_house(production())
    assert owed() == []
    finish(execution.perform(task))
    archive_all()
    assert owed() == [(run.pk, "run.cancelled")]


def test_a_cancel_too_large_to_move_at_once_owes_every_run_once_it_is_swept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancellation, "AT_ONCE", 1)
    endpoint()
    definition = {"cancellation_token": "t", "on_cancel": {"invoke": "after"}, "steps": [DELAY]}
    accepted = invoke(definition=definition, recipients=["a", "b", "c"])
    receipt = cancel_runs(token="t")
    assert (receipt.swept_at, owed()) == (None, [])
    archive_all()
    runs = [run_of(accepted, index).pk for index in range(3)]
    assert owed() == [(pk, "run.cancelled") for pk in runs]
    assert sorted(OnCancelStart.objects.values_list("run", flat=True)) == runs


def test_each_endpoint_is_owed_the_events_it_wants_and_only_of_its_environment() -> None:
    all_of_it, failures = endpoint(), endpoint("run.failed")
    endpoint(environment=Environment.objects.get(key="test"))
    endpoint(disabled_at=database_now())
    done, failed = run_of(invoke(CANCEL)), run_of(invoke(IMPOSSIBLE))
    rows = WebhookDelivery.objects.values_list("endpoint", "run", "event")
    assert set(rows) == {
        (all_of_it.pk, done.pk, "run.completed"),
        (all_of_it.pk, failed.pk, "run.failed"),
        (failures.pk, failed.pk, "run.failed"),
    }


def test_a_run_that_does_not_end_asks_nothing() -> None:
    with Captured() as captured:
        invoke(SEND, DELAY)
        finish(*[execution.perform(task) for task in start()])
        cancel_runs(token="t")
    assert LiveRun.objects.get().state == "waiting"
    assert [query for query in captured if "webhook" in query["sql"]] == []


def test_without_an_endpoint_the_ends_of_a_second_cost_one_statement_together() -> None:
    forget_endpoints()
    with Captured() as captured:
        for _ in range(3):
            invoke(CANCEL)
            invoke(SEND)
            work_off()
    assert len([query for query in captured if "webhook" in query["sql"]]) == 1


def test_with_an_endpoint_an_end_costs_the_one_insert(monkeypatch: pytest.MonkeyPatch) -> None:
    def cost() -> list[str]:
        invoke(SEND)
        done = [execution.perform(task) for task in start()]
        with Captured() as captured:
            finish(*done)
        return [query["sql"] for query in captured]

    cost()
    without = len(cost())
    endpoint()
    cost()
    more = cost()
    assert sum("automations_webhookdelivery" in sql for sql in more) == 1
    # On PostgreSQL it travels with the events.
    assert len(more) == without + (connection.vendor == "sqlite")


def test_what_was_read_of_the_endpoints_is_read_anew_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    invoke(CANCEL)  # reads that there is none
    made = endpoint()
    webhook._kept[:] = [(time.monotonic(), {})]
    invoke(CANCEL)
    assert owed() == []
    webhook._kept[:] = [(time.monotonic() - webhook.KEPT_SECONDS, {})]
    invoke(CANCEL)
    assert [event for _, event in owed()] == ["run.completed"]
    WebhookEndpoint.objects.filter(pk=made.pk).update(disabled_at=database_now())
    forget_endpoints()
    invoke(CANCEL)
    assert len(owed()) == 1


def test_one_statement_tells_whether_anything_is_owed(django_assert_num_queries: Any) -> None:
    made = endpoint()
    assert not execution.what_is_due(also_owed=True).owed
    invoke(CANCEL)
    with django_assert_num_queries(1):
        assert execution.what_is_due(also_owed=True).owed
    WebhookEndpoint.objects.update(disabled_at=database_now())
    assert not execution.what_is_due(also_owed=True).owed
    WebhookEndpoint.objects.update(disabled_at=None)
    WebhookDelivery.objects.filter(endpoint=made).update(next_attempt_at=database_now() + timedelta(hours=1))
    assert not execution.what_is_due(also_owed=True).owed
    WebhookDelivery.objects.filter(endpoint=made).update(next_attempt_at=None)
    assert not execution.what_is_due(also_owed=True).owed
