"""What a supervisor is told."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from automations.models import LiveRun, Worker, database_now
from tests.api.conftest import refused
from tests.scenes import SEND, invoke, run_of

pytestmark = pytest.mark.django_db


def ask(path: str) -> tuple[int, Any]:
    response = Client().get(path)
    assert (response["Content-Type"], response["Cache-Control"]) == ("application/json", "no-store")
    return response.status_code, json.loads(response.content)


def worker_seen(seconds_ago: float) -> None:
    seen = database_now() - timedelta(seconds=seconds_ago)
    Worker.objects.create(name=f"w{seconds_ago}", host="h", pid=1, started_at=seen, seen_at=seen)


def test_a_process_that_answers_is_up() -> None:
    assert ask("/healthz") == (200, {"status": "ok"})


def test_it_is_ready_when_a_worker_was_seen_lately() -> None:
    worker_seen(29)
    worker_seen(3600)
    assert ask("/readyz") == (200, {"status": "ok"})


def test_without_a_worker_nothing_is_carried_out() -> None:
    worker_seen(31)
    reasons = ["no worker was seen for 30 seconds"]
    assert ask("/readyz") == (503, {"status": "unavailable", "reasons": reasons})


def test_overdue_work_that_nobody_takes_is_a_reason() -> None:
    worker_seen(1)
    run = run_of(invoke(SEND))
    assert ask("/readyz")[0] == 200
    LiveRun.objects.filter(pk=run.pk).update(due_at=database_now() - timedelta(seconds=31))
    reasons = ["steps are overdue and no worker took any for 30 seconds"]
    assert ask("/readyz") == (503, {"status": "unavailable", "reasons": reasons})


def test_a_missing_migration_is_a_reason() -> None:
    worker_seen(0)
    MigrationRecorder(connection).migration_qs.filter(app="automations").latest("pk").delete()
    assert ask("/readyz") == (503, {"status": "unavailable", "reasons": ["migrations are missing"]})


def test_a_table_that_is_gone_is_a_reason() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE automations_worker")
    assert ask("/readyz") == (503, {"status": "unavailable", "reasons": ["the database does not answer"]})


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_nothing_is_taken_there(path: str) -> None:
    assert refused(Client().post(path)) == (405, "method_not_allowed", [("", "method_not_allowed")])
