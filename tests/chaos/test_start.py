"""T31 (django-q2/django-q2#201): a product whose database is down when it starts works once that is there."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.chaos.database import Postgres, Server
from tests.chaos.harness import Plan, beside, environment_of, started

pytestmark = pytest.mark.slow
DOWN_SECONDS = 4.0
WORKS_WITHIN_SECONDS = 30.0
SEND = {"action": "send", "message": {"content": {"body": "hi"}}}


def test_it_works_within_thirty_seconds_of_its_database(server: Server | None, tmp_path: Path) -> None:
    if server is None:  # SQLite is never down
        return
    with Postgres(server) as database, ThreadPoolExecutor() as threads:
        environment = environment_of(Plan(seed=1, seconds=0, pauses=0), folder=tmp_path, url=database.url)
        key = beside(environment, database.direct_url, "tests.chaos.records", "prepare")
        server.stop_at_once()
        working = threads.submit(first_run_completed, tmp_path, environment, key)
        time.sleep(DOWN_SECONDS)
        up = time.monotonic()
        server.start()
        assert 0 < working.result() - up < WORKS_WITHIN_SECONDS


def first_run_completed(folder: Path, environment: dict[str, str], key: str) -> float:
    """When (monotonic) a run invoked as soon as the product answers has completed; it raises after a minute."""
    with (
        started(folder, environment) as product,
        httpx.Client(base_url=f"{product.url}/api/v1/", headers={"Authorization": f"Bearer {key}"}) as http,
    ):
        answer = http.post("invocations", json={"definition": {"steps": [SEND]}}).raise_for_status()
        run = answer.json()["runs"][0]["id"]
        until = time.monotonic() + 60
        while http.get(f"runs/{run}").json()["status"] != "completed":
            assert time.monotonic() < until
            time.sleep(0.05)
        return time.monotonic()
