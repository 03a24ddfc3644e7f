"""What a monitor reads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from automations.execution import housekeeping
from automations.models import LiveRun, Worker, database_now
from tests.api.conftest import refused
from tests.captured import Captured
from tests.scenes import DELAY, SEND, cancel_runs, expire_leases, invoke, production, run_of, start

pytestmark = pytest.mark.django_db


def read() -> dict[str, float]:
    """Every line of a value, by what stands before it."""
    cache.clear()
    response = Client().get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = response.content.decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


def of(name: str, **labels: str) -> str:
    given = ",".join(f'{label}="{value}"' for label, value in {"environment": "production", **labels}.items())
    return f"countermand_{name}{{{given}}}"


def test_every_number_is_that_of_the_database() -> None:
    now = database_now()
    for seconds in (5, 40):
        seen = now - timedelta(seconds=seconds)
        Worker.objects.create(name=f"w{seconds}", host="h", pid=1, started_at=seen, seen_at=seen)
    late = run_of(invoke(SEND))
    LiveRun.objects.filter(pk=late.pk).update(due_at=now - timedelta(seconds=90))
    gone = run_of(invoke(DELAY))
    cancel_runs(run_pks=(gone.pk,))
    invoke(DELAY)
    found = read()
    assert {name: value for name, value in found.items() if "production" in name} == {
        of("unfinished_runs", state="waiting"): 2, of("unfinished_runs", state="running"): 0,
        of("unfinished_runs", state="cancelling"): 0, of("unfinished_runs", state="cancelled"): 1,
        of("oldest_due_seconds"): found[of("oldest_due_seconds")],
        of("unsettled_runs"): 0, of("standing_bars"): 0,
    }  # fmt: skip
    assert 90 <= found[of("oldest_due_seconds")] < 120
    assert found["countermand_workers"] == 1
    assert found['countermand_unfinished_runs{environment="test",state="waiting"}'] == 0


def test_a_lost_attempt_is_told() -> None:
    invoke(SEND)
    start()
    expire_leases()
    housekeeping.reap(production())
    assert read()[of("unsettled_runs")] == 1


def test_it_takes_as_many_statements_however_often_it_is_asked() -> None:
    cache.clear()
    with Captured() as captured:
        for _ in range(3):
            assert Client().get("/metrics").status_code == 200
    assert len(captured) == 6


def test_while_the_database_does_not_answer_it_is_a_503() -> None:
    cache.clear()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE automations_worker")
    response = Client().get("/metrics")
    assert (response.status_code, response.content) == (503, b"# the database does not answer\n")


def test_nothing_is_taken_there() -> None:
    assert refused(Client().post("/metrics")) == (405, "method_not_allowed", [("", "method_not_allowed")])
