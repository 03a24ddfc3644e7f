"""Every page does its work without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.visitors import enter, make_people, session_of, status, waiting_run
from tests.live import Product
from tests.people import NAMES, PASSWORD


@pytest.fixture
def plain(browser: Browser, product: Product) -> Iterator[Page]:
    context = browser.new_context(base_url=product.url, java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_log_in_search_and_cancel(plain: Page, product: Product) -> None:
    make_people(product)
    run = waiting_run(product, token="plain-1")
    other = waiting_run(product, token="other-1")
    plain.goto("/logs/?status=waiting")
    plain.locator("[name=username]").fill(NAMES["operator"])
    plain.locator("[name=password]").fill(PASSWORD)
    plain.get_by_role("button", name="Log in").click()
    expect(plain).to_have_url(re.compile(r"/logs/\?status=waiting$"))
    plain.locator("[name=q]").fill("plain-1")
    plain.get_by_role("button", name="Search").click()
    expect(plain).to_have_url(re.compile(r"[?&]q=plain-1\b"))
    expect(plain.locator("[data-row]")).to_have_count(1)
    plain.locator(f"#run-{run}").click()
    plain.get_by_role("button", name="Cancel run").click()
    expect(plain.locator("h1")).to_have_text("Cancel this run?")
    plain.get_by_label("Reason").fill("by hand")
    plain.get_by_role("button", name="Cancel run").click()
    expect(plain).to_have_url(re.compile(rf"/logs/{run}/$"))
    expect(plain.locator("#toast")).to_contain_text("by otto. No further step of this run will start.")
    expect(plain.locator("#called-off")).to_contain_text("by otto from the browser: “by hand”")
    assert (status(product, run), status(product, other)) == ("cancelled", "waiting")


def test_write_preview_and_publish(plain: Page, product: Product) -> None:
    enter(plain, product, "admin")
    plain.goto("/templates/new/")
    plain.locator("#name").fill("Plain")
    plain.locator("#key").fill("plain")
    plain.get_by_role("button", name="Create draft").click()
    plain.locator("#add-step").click()
    plain.get_by_role("button", name="Send a message to the recipient").click()
    expect(plain.locator("#f-message-content-title")).to_be_focused()
    plain.get_by_label("Title", exact=True).fill("Hello")
    plain.get_by_role("button", name="Save step").click()
    expect(plain.locator("#toast")).to_contain_text("Saved ")
    plain.locator("#add-step").click()
    plain.get_by_role("button", name="Delay wait").click()
    plain.get_by_role("button", name="Move step 2 up").click()
    expect(plain.locator(".steps li strong")).to_have_text(["Delay", "Send"])
    plain.get_by_role("link", name="Settings").click()
    plain.get_by_label("Expression").fill("plain-{{data.user_id}}")
    plain.get_by_role("button", name="Try it").click()
    expect(plain.locator("#resolved-token")).to_have_text("plain-user_123")
    plain.get_by_role("button", name="Save settings").click()
    plain.get_by_role("link", name="Publish…").click()
    plain.get_by_role("button", name="Publish version 1").click()
    expect(plain.locator("#toast")).to_contain_text("Published as version 1.")
    plain.get_by_role("link", name="Invoke…").click()
    plain.get_by_role("button", name="Invoke").click()
    expect(plain.locator("#panel")).to_contain_text("plain-user_123")
    plain.locator("#person-name").click()
    plain.get_by_role("button", name="Dark").click()
    expect(plain.locator("html")).to_have_attribute("data-theme", "dark")
    plain.locator("#person-name").click()
    plain.get_by_role("button", name="Log out").click()
    expect(plain).to_have_url(re.compile(r"/login/$"))
    session_of.cache_clear()  # which that ended
