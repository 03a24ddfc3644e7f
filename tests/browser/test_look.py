"""Theme, zone and motion: chosen without losing one's place, known to the server, and nothing flashes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Dialog, FloatRect, Page, expect

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


BOXES = """(labels) => labels.map((label) => {
    const range = document.createRange();
    range.selectNode(label.firstChild);
    const {left, right} = range.getBoundingClientRect();
    return [left, right, getComputedStyle(label).visibility];
}).filter(([, , seen]) => seen === "visible")"""
LABEL = """(cell) => getComputedStyle(cell, "::before").content"""


def box(page: Page, selector: str) -> FloatRect:
    found = page.locator(selector).bounding_box()
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390])
def test_a_narrow_screen_shows_what_a_wide_one_says(page: Page, product: Product, width: int) -> None:
    enter(page, product, "admin")
    run = waiting_run(product, token=f"narrow-{width}", source="narrow")
    product.http.post(f"runs/{run}/cancel", json={}).raise_for_status()
    page.set_viewport_size({"width": width, "height": 800})
    for span in ("day", "week"):
        page.goto(f"/?span={span}")
        boxes = page.locator(".scale li").evaluate_all(BOXES)
        gaps = [after[0] - before[1] for before, after in pairwise(boxes)]
        assert (len(boxes) > 2, min(gaps) >= 2) == (True, True), (span, gaps)
    page.goto("/logs/?q=source:narrow")
    link, time = (box(page, f"#row-{run} {part}") for part in (".run", "td:nth-child(5) time >> nth=0"))
    assert link["x"] + link["width"] < time["x"]
    page.goto("/keys/")
    expect(page.locator(".side [aria-current]")).to_be_in_viewport(ratio=1)
    page.locator("[data-row] summary").first.click()
    name = box(page, "[data-row] td >> nth=0")
    assert (name["width"] > 200, name["height"] < 60) == (True, True)
    cells = page.locator("[data-row]").first.locator("td")
    assert [cells.nth(at).evaluate(LABEL) for at in (1, 4)] == ['"Scopes: "', '"Until: "']
    for address, at, label in (("/bulk/", 3, "In flight"), ("/users/", 3, "Last login")):
        page.goto(address)
        cell = page.locator("[data-row]").first.locator("td").nth(at)
        assert cell.evaluate(LABEL) == f'"{label}: "'


@pytest.mark.slow
def test_a_long_name_leaves_the_others_their_room(page: Page, product: Product) -> None:
    body = {"key": "long-name", "name": "Reminder " * 20, "definition": {"steps": []}}
    product.http.post("automations", json=body).raise_for_status()
    enter(page, product, "admin")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto("/templates/?q=long-name")
    assert box(page, "#row-long-name td:nth-child(6) small")["height"] < 30
    page.goto("/users/")
    page.locator("#username").fill("zoe")
    page.locator("#make-link").click()
    above, below = (box(page, part) for part in ("#invitation", ".frame"))
    assert below["y"] - above["y"] - above["height"] >= 20
