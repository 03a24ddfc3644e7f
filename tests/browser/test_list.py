"""The list of runs in use: every filter, a slow network, a long page, a narrow screen, keys, and who sees what."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.visitors import DELAY, SEND, enter, invoke, template, waiting_run
from tests.live import Product

# What reaches beyond the right edge, unless something around it scrolls.
BEYOND = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll("main *")].filter((element) => element.getBoundingClientRect().right > innerWidth)
        .map((element) => element.outerHTML.slice(0, 100))"""
LONG = "x" * 180


@pytest.mark.slow
def test_every_filter_survives_back_forward_reload_and_being_shared(
    page: Page, product: Product, browser: Browser
) -> None:
    enter(page, product, "viewer")
    template(product, "filtered", DELAY, SEND, token="filtered-{{data.n}}")
    run = product.http.post("invocations", json={"automation": "filtered", "data": {"n": 1}}).json()["runs"][
        0
    ]["id"]
    address = filtered(page)
    page.locator(f"#run-{run}").click()
    expect(page.locator("h1")).to_have_text(run)
    page.go_back()
    is_filtered(page, run)
    page.go_forward()
    expect(page.locator("h1")).to_have_text(run)
    page.go_back()
    page.reload()
    is_filtered(page, run)
    colleague = browser.new_context(base_url=product.url)
    with colleague:
        theirs = colleague.new_page()
        enter(theirs, product, "operator")
        theirs.goto(address)
        is_filtered(theirs, run)
        theirs.locator("#q").fill("token:filtered-1")
        expect(theirs).to_have_url(re.compile("filtered-1"))
        theirs.locator("#to-bulk").click()  # the filters of now go along to what acts on them
        expect(theirs.locator("#automation")).to_have_value("filtered")
        expect(theirs.locator("#token")).to_have_value("filtered-1")


def filtered(page: Page) -> str:
    """The address once all filters are chosen."""
    page.goto("/logs/")
    page.locator("#q").fill("token:filtered-")
    expect(page).to_have_url(re.compile("q="))
    page.locator("#automation").select_option("filtered")
    expect(page).to_have_url(re.compile("automation="))
    page.locator("#started").select_option("1h")
    expect(page).to_have_url(re.compile("started="))
    page.locator("#wakes").select_option("24h")
    expect(page).to_have_url(re.compile("wakes="))
    page.locator("#chip-waiting").click()
    expect(page).to_have_url(re.compile("status="))
    assert parse_qs(urlsplit(page.url).query) == {
        "q": ["token:filtered-"], "status": ["waiting"], "automation": ["filtered"], "started": ["1h"],
        "wakes": ["24h"],
    }  # fmt: skip
    return page.url


def is_filtered(page: Page, run: str) -> None:
    for field, value in (
        ("q", "token:filtered-"),
        ("automation", "filtered"),
        ("started", "1h"),
        ("wakes", "24h"),
    ):
        expect(page.locator(f"#{field}")).to_have_value(value)
    expect(page.locator("#chip-waiting")).to_have_attribute("aria-current", "true")
    expect(page.locator(f"#row-{run}")).to_be_visible()


@pytest.mark.slow
def test_a_span_of_ones_own_stands_in_the_address_until_a_preset_is_chosen(
    page: Page, product: Product
) -> None:
    enter(page, product, "viewer")
    run = waiting_run(product, token="span", source="span")
    page.goto("/logs/?q=source:span")
    page.locator("#between summary").click()
    soon, before = (datetime.now(UTC) + timedelta(hours=hours) for hours in (1, -1))
    page.locator("#from").fill(f"{before:%Y-%m-%dT%H:%M}")
    page.locator("#to").fill(f"{soon:%Y-%m-%dT%H:%M}")
    expect(page).to_have_url(re.compile(f"started={before:%Y-%m-%dT%H}%3A.*{soon:%Y-%m-%dT%H}%3A"))
    expect(page.locator(f"#row-{run}")).to_be_visible()
    page.reload()
    expect(page.locator("#started option:checked")).to_contain_text(f"{before:%H:%M}")
    expect(page.locator("#from")).to_have_value(f"{before:%Y-%m-%dT%H:%M}")
    expect(page.locator("#to")).to_have_value(f"{soon:%Y-%m-%dT%H:%M}")
    page.locator("#to").fill("")
    expect(page).to_have_url(re.compile("2100-01-01"))
    page.locator("#from").fill("")
    expect(page).to_have_url(re.compile(r"/logs/\?q=source%3Aspan$"))
    page.locator("#from").fill(f"{before:%Y-%m-%dT%H:%M}")
    expect(page).to_have_url(re.compile("2100-01-01"))
    page.locator("#started").select_option("15m")
    expect(page).to_have_url(re.compile(r"started=15m$"))
    expect(page.locator("#from")).to_have_value("")


def test_a_search_without_hits_says_where_it_looked_and_offers_all_dates(
    page: Page, product: Product
) -> None:
    enter(page, product, "viewer")
    waiting_run(product, token="old-hat", source="old-hat")
    page.goto("/logs/?wakes=late&started=15m")
    page.locator("#q").fill("old-hat")
    empty = page.locator(".empty")
    expect(empty).to_contain_text(
        "No run matches. Searched run ID, source, token, recipient, key, for what is or begins"
    )
    expect(page).to_have_url(re.compile(r"/logs/\?q=old-hat&started=15m&wakes=late$"))
    page.locator("#any-time").click()
    expect(page).to_have_url(re.compile(r"/logs/\?q=old-hat$"))
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page.locator("#started")).to_have_value("")


@pytest.mark.slow
def test_on_a_slow_network_the_last_word_wins(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    for name in ("slow-1", "slow-12"):
        waiting_run(product, token=name, source=name)
    late: list[Route] = []
    page.route(re.compile(r"q=slow-1(&|$)"), lambda route: late.append(route))
    page.goto("/logs/")
    page.locator("#q").press_sequentially("slow-1", delay=5)
    while not late:
        page.wait_for_timeout(20)
    page.locator("#q").press_sequentially("2")
    expect(page).to_have_url(re.compile(r"q=slow-12$"))
    expect(page.locator("[data-row]")).to_have_count(1)
    late[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#q")).to_have_value("slow-12")
    expect(page.locator("#q")).to_be_focused()
    expect(page).to_have_url(re.compile(r"q=slow-12$"))
    expect(page.locator("[data-row]")).to_have_count(1)


@pytest.mark.slow
def test_a_long_page_changes_within_three_seconds_and_stays_where_it_was(
    page: Page, product: Product
) -> None:
    enter(page, product, "operator")
    runs = [invoke(product, definition={"cancellation_token": f"long-{n}", "steps": [DELAY, SEND]}, source="long")
            for n in range(45)]  # fmt: skip
    page.goto("/logs/?q=source:long")
    last = page.locator(f"#run-{runs[0]}")
    last.focus()
    page.locator(f"#row-{runs[0]}").scroll_into_view_if_needed()
    before = page.evaluate("() => scrollY")
    assert before > 300
    product.http.post("cancellations", json={"filter": {"token": "long-1"}}).raise_for_status()
    expect(page.locator(f"#row-{runs[1]} .badge")).to_have_text("Cancelled")
    expect(page.locator(f"#cancel-{runs[1]}")).to_have_count(0)
    expect(page.locator(f"#cancel-{runs[0]}")).to_be_visible()
    expect(last).to_be_focused()
    assert page.evaluate("() => scrollY") == before


@pytest.mark.slow
def test_nothing_however_long_makes_a_page_scroll_sideways_at_320_px(page: Page, product: Product) -> None:
    enter(page, product, "admin")
    key, source = f"long-{'k' * 90}", f"s{LONG}"
    wait = {**DELAY, "id": "d" * 60, "if": f"'{LONG}' !== ''"}
    definition = {"cancellation_token": LONG, "steps": [SEND, wait]}
    body = {"key": key, "name": LONG, "alias": LONG, "definition": definition}
    product.http.post("automations", json=body).raise_for_status()
    product.http.post(f"automations/{key}/publish", json={}).raise_for_status()
    sent = {"automation": key, "source": source, "recipients": [{"id": f"r{LONG}"}], "data": {LONG: LONG}}
    run = product.http.post("invocations", json=sent).raise_for_status().json()["runs"][0]["id"]
    asked = {"filter": {"source": source}, "reason": LONG}
    cancellation = product.http.post("cancellations", json=asked).raise_for_status().json()["id"]
    product.http.post("invocations", json=sent).raise_for_status()
    page.set_viewport_size({"width": 320, "height": 640})
    tabs = ("", "steps/1", "settings", "versions", "json", "invoke", "use", "disable", "publish")
    wide: dict[str, list[str]] = {}
    for address in (
        "/", "/logs/", f"/logs/?q=source:{source}", f"/logs/?q={LONG}nothing", "/bulk/", "/templates/", "/recipients/",
        "/audit/", f"/bulk/new/?source={source}", *(f"/bulk/{cancellation}/{part}" for part in ("", "missed/")),
        *(f"/logs/{run}/{part}" for part in ("", "replay/", "why/")), *(f"/templates/{key}/{tab}" for tab in tabs),
    ):  # fmt: skip
        page.goto(address)
        if beyond := page.evaluate(BEYOND):
            wide[address] = beyond
    assert wide == {}


@pytest.mark.slow
def test_no_key_is_a_shortcut_once_they_are_switched_off(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="off", source="off")
    page.goto("/logs/?q=source:off")
    page.locator(f"#run-{run}").focus()
    page.keyboard.press("?")
    page.get_by_label("Shortcuts are on").uncheck()
    page.keyboard.press("Escape")
    expect(page.locator(f"#run-{run}")).to_be_focused()
    for key in ("x", "c", "?", "j", "/", "g", "a"):
        page.keyboard.press(key)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(f"#tick-{run}")).not_to_be_checked()
    expect(page.locator(f"#run-{run}")).to_be_focused()
    page.reload()
    page.locator("#person-name").click()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Shortcuts are on").check()
    page.keyboard.press("Escape")
    page.locator(f"#run-{run}").focus()
    page.keyboard.press("x")
    expect(page.locator(f"#tick-{run}")).to_be_checked()


@pytest.mark.slow
def test_who_may_not_cancel_has_no_column_for_it(page: Page, product: Product) -> None:
    waiting_run(product, token="columns", source="columns")
    for role, columns in (("viewer", 5), ("operator", 6), ("admin", 6)):
        enter(page, product, role)
        page.goto("/logs/?q=source:columns")
        expect(page.locator("th")).to_have_count(columns)
        expect(page.locator(".cancel")).to_have_count(columns - 5)
        expect(page.locator(".tick")).to_have_count(columns - 5)
        expect(page.locator("#to-bulk")).to_have_count(columns - 5)


@pytest.mark.slow
def test_a_hidden_tab_asks_nothing_and_catches_up_when_it_is_seen(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    run = waiting_run(product, token="hidden", source="hidden")
    page.clock.install()
    page.goto("/logs/?q=source:hidden")
    expect(page.locator("#live")).to_contain_text("Live")
    hide = """(hidden) => {
        Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    product.http.post("cancellations", json={"filter": {"token": "hidden"}}).raise_for_status()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(10_000)
    assert asked == []
    page.evaluate(hide, False)
    expect(page.locator(f"#row-{run} .badge")).to_have_text("Cancelled")


@pytest.mark.slow
def test_a_tick_moves_nothing_and_the_button_says_how_many(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    runs = [waiting_run(product, token="ticks", source="ticks") for _ in range(2)]
    page.goto("/logs/?q=source:ticks")
    button, row = page.locator("#cancel-ticked"), page.locator(f"#row-{runs[0]}")
    expect(button).to_be_hidden()
    before = row.bounding_box()
    page.locator(f"#tick-{runs[0]}").check()
    expect(button).to_have_text("Cancel 1 ticked run…")
    page.locator(f"#tick-{runs[1]}").check()
    expect(button).to_have_text("Cancel 2 ticked runs…")
    expect(button).to_be_visible()
    assert row.bounding_box() == before
    page.locator(f"#tick-{runs[1]}").uncheck()
    button.click()
    expect(page.locator("#plan-title")).to_have_text("This calls off 1 run")
