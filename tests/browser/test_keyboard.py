"""Everything by keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitors import enter, status, waiting_run
from tests.live import Product


def test_a_run_is_found_opened_and_called_off_by_keyboard(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    older, newer = (waiting_run(product, token=f"keys-{number}") for number in (1, 2))
    page.goto("/logs/")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("token:keys-")
    expect(page).to_have_url(re.compile(r"/logs/\?q=token%3Akeys-$"))
    expect(page.locator("[data-row]")).to_have_count(2)
    for key, run in (("ArrowDown", newer), ("j", older), ("j", older), ("k", newer), ("j", older)):
        page.keyboard.press(key)
        expect(page.locator(f"#run-{run}")).to_be_focused()
    page.keyboard.press("c")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Cancel this run?")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.locator(f"#run-{newer}").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(newer)
    page.keyboard.press("c")
    expect(dialog).to_contain_text("Cancel this run?")
    dialog.get_by_role("button", name="Cancel run").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".standing")).to_have_text("Cancelled")
    assert (status(product, newer), status(product, older)) == ("cancelled", "waiting")


@pytest.mark.slow
def test_the_letters_lead_about_unless_one_types_or_has_switched_them_off(
    page: Page, product: Product
) -> None:
    enter(page, product, "viewer")
    page.goto("/logs/")
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page).to_have_url(re.compile(r"/templates/$"))
    page.keyboard.press("g")
    page.keyboard.press("l")
    expect(page).to_have_url(re.compile(r"/logs/$"))
    page.locator("#q").fill("")
    page.locator("#q").press_sequentially("ga?/")
    expect(page.locator("#q")).to_have_value("ga?/")
    expect(page).to_have_url(re.compile(r"/logs/\?q=ga%3F%2F$"))
    page.locator("h1").click()
    page.keyboard.press("?")
    help_ = page.get_by_role("dialog", name="Keyboard shortcuts")
    help_.get_by_label("Shortcuts are on").uncheck()
    help_.get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    expect(page.locator("#q")).not_to_be_focused()


def test_the_content_can_be_reached_past_the_navigation(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    page.goto("/logs/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
