"""The reference of the APIs shows all four documents, and asks nothing of another host."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_accessibility import violations
from tests.live import Product

DRAWN = 30_000  # milliseconds: Swagger UI draws a hundred operations in one go, and on a busy machine in many seconds


@pytest.mark.slow
def test_the_reference_shows_every_document_and_asks_nobody_else(page: Page, product: Product) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/api/docs/")
    expect(page.locator("h1")).to_contain_text("Countermand", timeout=DRAWN)
    expect(page.locator("#operations-runs-cancel_run")).to_be_visible(timeout=DRAWN)
    for name, operation in (
        ("Courier", "invoke_ad_hoc"), ("Knock", "trigger"), ("SuprSend", "trigger_dynamic"),
    ):  # fmt: skip
        page.locator(".topbar select").select_option(label=name)
        expect(page.locator("h1")).to_contain_text(name, timeout=DRAWN)
        expect(page.locator(f"[id$=-{operation}]")).to_be_visible(timeout=DRAWN)
    page.locator("[id$=-trigger_dynamic] button.opblock-summary-control").click()
    expect(page.locator(".opblock-description")).to_be_visible(timeout=DRAWN)
    assert [url for url in asked if not url.startswith((product.url, "data:"))] == []
    assert [url for url in asked if url.startswith(f"{product.url}/api/schema")] == [
        f"{product.url}/api/schema{name}" for name in ("", "/courier", "/knock", "/suprsend")
    ]


@pytest.mark.slow
def test_axe_finds_nothing_in_the_reference(page: Page, product: Product) -> None:
    page.goto("/api/docs/")
    expect(page.locator("#operations-runs-cancel_run")).to_be_visible(timeout=DRAWN)
    page.locator("[id$=-cancel_run] button.opblock-summary-control").click()
    expect(page.locator(".opblock-description").first).to_be_visible(timeout=DRAWN)
    expect(page.locator(".opblock-summary-control a[href]")).to_have_count(0)  # mended as it is drawn
    found = violations(page, "light", {})
    page.emulate_media(color_scheme="dark")
    found += violations(page, "dark", {})
    page.set_viewport_size({"width": 390, "height": 844})
    found += violations(page, "390 px", {})
    assert found == []
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("() => document.documentElement.scrollWidth") == 320


def test_without_javascript_the_documents_are_linked(browser: Browser, product: Product) -> None:
    context = browser.new_context(base_url=product.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/api/docs/")
    expect(page.get_by_role("link")).to_have_text(["Countermand", "Courier", "Knock", "SuprSend"])
    page.get_by_role("link", name="Knock").click()
    expect(page).to_have_url(re.compile("/api/schema/knock$"))
    context.close()
