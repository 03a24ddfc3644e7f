"""A real Chromium: one browser for the session, one context for each test, and no complaint from either."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import chromium
from tests.live import Product

RESULTS = Path(__file__).resolve().parent.parent.parent / "test-results"
PATIENCE = 10_000  # milliseconds that an action or an expectation waits where it says nothing else
_failed = pytest.StashKey[bool]()
# Reports what the content security policy refused, to the console, which is watched.
_REPORT = """
addEventListener("securitypolicyviolation", e => console.error("CSP", e.violatedDirective, e.blockedURI));
"""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = chromium.find()
    if program is None:
        missing = pytest.fail if "browser" in os.environ.get("REQUIRE", "").split(",") else pytest.skip
        missing("no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser, product: Product) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=product.url)
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    context.add_init_script(_REPORT)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that fails its test by anything on its console that is an error, by a refused resource or an
    uncaught exception. A test that provokes some by intention takes them out of `complaints`."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    request.node.stash[COMPLAINTS] = complaints
    yield page
    if request.node.stash.get(_failed, True):
        RESULTS.mkdir(exist_ok=True)
        name = re.sub(r"[^\w.-]+", "_", request.node.nodeid)
        page.screenshot(path=RESULTS / f"{name}.png", full_page=True)
    assert complaints == []


COMPLAINTS = pytest.StashKey[list[str]]()


@pytest.fixture
def complaints(page: Page, request: pytest.FixtureRequest) -> list[str]:
    """What the page's console said so far that was an error; emptied by a test that expected it."""
    found: list[str] = request.node.stash[COMPLAINTS]
    return found
