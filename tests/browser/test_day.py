"""A product of one's own through a day: the first run, the workers stopped, a worker killed in a big cancel."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.test_accessibility import violations
from tests.browser.test_swaps import LISTEN
from tests.browser.visitors import DELAY, SEND, enter, invoke, make_people, session_of
from tests.cluster.test_cluster import processes, tree
from tests.live import Product, started

pytestmark = pytest.mark.slow
MANY = 11_000  # runs: more than a thousand are called off by a job, more than ten thousand counted apart
BANNER_AFTER = 35_000  # milliseconds


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """One that may be stopped and killed, instead of the one that others share."""
    with started(LEASE_SECONDS="2") as own:
        yield own
    make_people.cache_clear()
    session_of.cache_clear()


def test_the_first_steps_are_shown_until_the_printed_curl_has_run(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    page.goto("/")
    stops = page.locator("#checklist li")
    expect(stops).to_have_text(
        [
            re.compile("Write an automation.*done"),
            re.compile("Publish it.*done"),
            "Invoke it",
            "Call a run off",
        ]
    )
    assert violations(page, "checklist", {}) == []
    curl = page.locator("#curl-first").inner_text()
    key = product.key("invoke")
    done = subprocess.run(
        [*shlex.split(curl.replace("$COUNTERMAND_KEY", key).replace("\\\n", " ")), "-w", "%{http_code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.endswith("201"), done.stdout
    expect(page.locator("#checklist")).to_have_count(0)
    expect(page.locator("#tile-waiting b")).to_have_text("1")
    page.locator("#tile-waiting").click()
    expect(page.locator("[data-row]")).to_have_count(1)


def test_an_environment_without_automations_offers_three_to_begin_with(page: Page, product: Product) -> None:
    enter(page, product, "admin")
    page.goto("/templates/")
    page.locator("#environment").click()
    page.get_by_role("button", name="test", exact=True).click()
    expect(page.locator("#environment")).to_have_text("Environment: test")
    page.goto("/templates/")
    expect(page.locator(".offer strong")).to_have_text(
        ["Approval reminder", "Onboarding reminder", "Trial expiry"]
    )
    page.locator("#sample-trial-expiry").click()
    page.get_by_role("button", name="Create draft").click()
    expect(page.locator(".steps li")).not_to_have_count(0)
    expect(page.locator("#problems")).to_have_count(0)


def test_the_numbers_are_those_of_the_api_within_one_poll(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    page.goto("/")
    for number in range(5):
        invoke(product, definition={"cancellation_token": f"n-{number % 2}", "steps": [DELAY, SEND]})
    product.http.post("cancellations", json={"filter": {"token": "n-0"}}).raise_for_status()
    broken = {"action": "send", "message": {"content": {"title": "${throw new Error('no')}"}}}
    failed = invoke(product, definition={"steps": [broken]})
    while product.http.get(f"runs/{failed}").json()["status"] != "failed":
        time.sleep(0.05)
    counts = Counter(run["status"] for run in all_runs(product))
    assert (counts["cancelled"], counts["failed"]) == (3, 1)
    for status in ("waiting", "running", "failed", "cancelled"):
        expect(page.locator(f"#tile-{status} b")).to_have_text(str(counts[status]), timeout=4_500)
    expect(page.locator("#failures-title + ul a")).to_have_count(1)
    expect(page.locator("#cancellations-title + ul")).to_contain_text("3 runs")


def test_the_banner_comes_when_the_workers_stop_and_leaves_when_they_are_back(
    page: Page, product: Product
) -> None:
    enter(page, product, "viewer")
    page.goto("/")
    expect(page.locator("#workers")).to_contain_text("workers at work")
    page.evaluate(LISTEN)
    pids = [pid for pid, command in processes(product).items() if " cluster" in command]
    assert len(pids) > 3
    with stopped(pids):
        expect(page.locator("#alarm")).to_contain_text("Nobody works.", timeout=BANNER_AFTER)
        expect(page.locator("#alarm")).to_contain_text("Runs are accepted, but nothing executes. Start ")
        assert violations(page, "banner", {}) == []
        run = invoke(product, definition={"steps": [SEND]}, data={"user_id": "u1"})
        expect(page.locator("#workers")).to_contain_text("the oldest due step was due")
    expect(page.locator("#alarm")).to_have_count(0, timeout=20_000)
    expect(page.locator("#workers")).to_contain_text("nothing is due", timeout=20_000)
    assert product.http.get(f"runs/{run}").json()["status"] == "completed"
    assert page.evaluate("() => window.spoken") == []


def test_a_big_cancel_goes_on_though_the_workers_are_killed_in_it(
    page: Page, product: Product, complaints: list[str]
) -> None:
    enter(page, product, "operator")
    definition = {"cancellation_token": "big", "steps": [DELAY, SEND]}
    for part in range(MANY // 1_000):
        recipients = [{"id": f"r{part}-{number}"} for number in range(1_000)]
        body = {"definition": definition, "recipients": recipients}
        product.http.post("invocations", json=body, timeout=60).raise_for_status()
    waiting: list[Route] = []
    page.route("**/*counted=*", lambda route: waiting.append(route))
    page.goto("/bulk/new/?token=big")
    expect(page.locator("#plan-title")).to_have_text("This calls off 10,000+ runs (counting…)")
    expect(page.locator(".counting")).to_be_visible()
    expect(page.locator("#count-now")).to_be_hidden()
    waiting.pop().continue_()
    expect(page.locator("#plan-title")).to_have_text(f"This calls off {MANY:,} runs")
    page.locator("#count").fill("3")
    page.locator("#confirm-cancel").click()
    expect(page.locator("#count-errors")).to_contain_text(f"Type {MANY:,} to confirm")
    complaints.clear()  # of that 422
    page.locator("#count").fill(str(MANY))
    with held_up(product):
        page.locator("#confirm-cancel").click()
        expect(page.locator("#called-off")).to_contain_text("In force; the runs are being counted.")
        expect(page.locator("#written")).to_be_visible()
        for pid in tree(product)[2:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    expect(page.locator("#called-off")).to_contain_text(f"Called off {MANY:,} runs.", timeout=60_000)
    expect(page.locator("#written")).to_have_count(0, timeout=30_000)
    uid = page.url.rstrip("/").rpartition("/")[2]
    assert product.http.get(f"cancellations/{uid}").json()["cancelled"] == MANY
    found = Counter(run["status"] for run in all_runs(product, token="big"))
    assert found == {"cancelled": MANY}
    page.locator("#to-history").click()
    expect(page.locator(f"#row-{uid} .number")).to_have_text(f"{MANY:,}")


def all_runs(product: Product, **given: str) -> list[dict[str, Any]]:
    """Every run that the API lists."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = product.http.get("runs", params={"limit": "100", **given, **more}).raise_for_status().json()
        found += page["items"]
        cursor = page.get("next_cursor")
        if not cursor:
            return found


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """These processes stand still for the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def held_up(product: Product) -> Iterator[None]:
    """No worker finishes the cancel: on PostgreSQL it waits for our lock on the newest of the waiting runs; on SQLite,
    where nothing but the whole file can be locked, the workers stand still."""
    url = product.environment["DATABASE_URL"]
    if url.startswith("postgres"):
        with psycopg.connect(url) as connection:
            connection.execute("SELECT 1 FROM automations_liverun ORDER BY run_id DESC LIMIT 10 FOR UPDATE")
            yield
        return
    # None is stopped in a transaction of its own, which would keep everybody else from writing.
    with closing(
        sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20, isolation_level=None)
    ) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for pid in tree(product)[2:]:
            os.kill(pid, signal.SIGSTOP)
        connection.execute("ROLLBACK")
    yield
