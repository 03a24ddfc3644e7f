"""Theme, zone and motion: chosen without losing one's place, known to the server, and nothing flashes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.browser.visitors import enter, template, waiting_run
from tests.live import Product

KOLKATA = timezone(timedelta(hours=5, minutes=30))
MOMENTS = """() => [...document.querySelectorAll(".timeline .line time, .timeline .note time:not([data-relative])")]
    .map((time) => [time.dateTime, time.title, time.textContent.trim()])"""
MOVING = """() => [...document.querySelectorAll("*")].filter((element) => {
    const style = getComputedStyle(element);
    return style.transitionDuration !== "0s" || style.animationName !== "none" || style.scrollBehavior !== "auto";
}).map((element) => element.outerHTML.slice(0, 80))"""


@pytest.mark.slow
def test_times_are_right_in_utc_and_in_the_zone_of_the_browser(browser: Browser, product: Product) -> None:
    run = waiting_run(product, token="zones")
    with browser.new_context(base_url=product.url, timezone_id="Asia/Kolkata") as context:
        page = context.new_page()
        enter(page, product, "viewer")
        page.goto(f"/logs/{run}/")
        times_are_in(page, UTC, "UTC")
        page.locator("#person-name").click()
        page.locator("#zone-browser").click()
        expect(page).to_have_url(re.compile(rf"/logs/{run}/$"))
        times_are_in(page, KOLKATA, "IST")
        page.goto("/logs/?q=zones")
        expect(page.locator("#live")).to_contain_text("IST")
        day = datetime.now(KOLKATA)
        expect(page.locator(f"#row-{run}")).to_contain_text(f"{day.day} {day:%b}")
        page.locator("#person-name").click()
        page.locator("#zone-utc").click()
        expect(page.locator("#live")).to_contain_text("UTC")


def times_are_in(page: Page, zone: timezone, name: str) -> None:
    """Each moment of the timeline stands there in that zone, with seconds, and in UTC for machines."""
    expect(page.locator(".standing")).to_contain_text(f" {name}")
    moments = page.evaluate(MOMENTS)
    assert len(moments) == 4  # invoked, sent, began to wait, waits until
    for machine, title, shown in moments:
        assert machine == title
        assert machine.endswith("Z")
        assert f"{datetime.fromisoformat(machine).astimezone(zone):%H:%M:%S}" in shown


def test_a_theme_is_chosen_without_leaving_the_filters_and_without_a_flash(
    page: Page, product: Product
) -> None:
    enter(page, product, "viewer")
    page.emulate_media(color_scheme="light")
    page.goto("/logs/")
    page.locator("#q").fill("nothing-like-it")
    expect(page).to_have_url(re.compile(r"/logs/\?q=nothing-like-it$"))
    page.locator("#person-name").click()
    page.locator("#theme-dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page).to_have_url(re.compile(r"/logs/\?q=nothing-like-it$"))
    expect(page.locator("#q")).to_have_value("nothing-like-it")
    html = page.request.get(page.url).text()
    assert 'data-theme="dark"' in html  # so that the first paint is dark, and what is painted before it, too
    assert '<meta name="color-scheme" content="dark">' in html
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 24)"
    page.locator("#person-name").click()
    page.locator("#theme-system").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "system")


@pytest.mark.slow
def test_choosing_a_theme_does_not_drop_what_is_not_saved(page: Page, product: Product) -> None:
    template(product, "unsaved", {"action": "delay", "duration": "1 day"})
    enter(page, product, "admin")
    page.goto("/templates/unsaved/settings")
    page.locator("#name").fill("Not saved yet")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.locator("#person-name").click()
    page.locator("#theme-dark").click()
    expect(page.locator("#name")).to_have_value("Not saved yet")
    assert asked == ["beforeunload"]


@pytest.mark.slow
def test_nothing_moves_for_those_who_asked_for_that(page: Page, product: Product) -> None:
    enter(page, product, "admin")
    waiting_run(product, token="still")
    page.emulate_media(reduced_motion="reduce")
    for address in ("/", "/logs/", "/templates/", "/bulk/new/", "/keys/"):
        page.goto(address)
        assert page.evaluate(MOVING) == [], address
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(MOVING) != []
