"""What htmx swaps must not break: the way to the login, the focus, the environment, what is read out."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.visitors import DELAY, SEND, enter, invoke, sign_out, status, template, waiting_run
from tests.live import Product

POLLS = re.compile(r"[?&]tag=")
# What can be focused where something is drawn anew, and has no id by which htmx would find it again.
NAMELESS = """() => [...document.querySelectorAll("[data-poll], #editor, #results, #panel")].flatMap((part) =>
    [...part.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]")]
        .filter((element) => !element.id).map((element) => element.outerHTML.slice(0, 120)))"""
# Notes every change below whatever is read out by itself, except the toast, which tells of one's own action.
LISTEN = """() => {
    window.spoken = [];
    const aloud = "[aria-live]:not([aria-live=off]), [role=status], [role=alert], [role=log], output";
    new MutationObserver((changes) => changes.forEach(({target, addedNodes}) => {
        const live = target.parentElement?.closest(aloud) ?? target.closest?.(aloud);
        for (const node of addedNodes) {
            const found = node.matches?.(aloud) ? node : node.querySelector?.(aloud);
            if (live || found) window.spoken.push((live ?? found).outerHTML.slice(0, 120));
        }
    })).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""
# The badge of the workers as it was drawn when nobody worked.
BEFORE_ANYBODY = """(badge) => {
    badge.setAttribute("hx-get", "/workers/?shown=0");
    badge.lastChild.textContent = "Nobody works";
    htmx.process(badge);
}"""

Act = Callable[[Page], object]


def click(selector: str) -> Act:
    return lambda page: page.locator(selector).first.click()


def fill(selector: str, text: str) -> Act:
    return lambda page: page.locator(selector).fill(text)


def changed(page: Page) -> None:
    page.locator("#f-duration").fill("2 days")
    page.keyboard.press("Tab")


# Where one is, what is done there before the login expires, and what is done after it: one of each kind of swap.
KINDS: dict[str, tuple[str, Act | None, Act]] = {
    "search": ("/logs/", None, fill("#q", "x")),
    "chip": ("/logs/", None, click("#chip-waiting")),
    "select": ("/logs/", None, lambda page: page.locator("#started").select_option("1h")),
    "dialog of a row": ("/logs/", None, click(".cancel")),
    "dialog": ("/logs/{run}/", None, click("#cancel-run")),
    "cancel": ("/logs/{run}/", click("#cancel-run"), click("#confirm-cancel")),
    "reschedule": ("/logs/{run}/", click("#to-reschedule"), click("#run-now")),
    "why": ("/logs/{run}/", click("#to-why"), click("#explain")),
    "span": ("/", None, click("#span-day")),
    "list of automations": ("/templates/", None, fill("#q", "x")),
    "open a step": ("/templates/expired/", None, click("#open-0")),
    "change a step": ("/templates/expired/steps/0", None, changed),
    "change the list": ("/templates/expired/", None, click("#copy-0")),
    "token": ("/templates/expired/settings", None, fill("#f-cancellation-token", "x")),
    "preview of an invoke": ("/templates/expired/invoke", None, fill("#sample_data", '{"x": 1}')),
    "invoke": ("/templates/expired/invoke", None, click("#send")),
    "recipients": ("/recipients/", None, fill("#q", "x")),
}

KEPT = {"change a step", "token"}  # what was typed there is not lost: the door is a link


@pytest.mark.slow
def test_an_expired_login_leads_to_the_door_whatever_was_to_be_swapped(page: Page, product: Product) -> None:
    template(product, "expired", DELAY, SEND)
    run = waiting_run(product, token="expired")
    page.on("dialog", lambda dialog: dialog.accept())  # when it is left for the next kind
    page.route(POLLS, lambda route: None)  # or a poll would be the first to notice
    for kind, (address, prepare, act) in KINDS.items():
        address = address.format(run=run)
        enter(page, product, "admin")
        page.goto(address, wait_until="networkidle")  # what a page asks for by itself is there
        if prepare:
            prepare(page)
            expect(page.get_by_role("dialog")).to_be_visible()
        sign_out(page)
        act(page)
        door = f"/login/?next={quote(address, safe='')}"
        if kind in KEPT:
            expect(page.locator("#sign-in"), kind).to_have_attribute("href", door)
            expect(page, kind).to_have_url(product.url + address)
        else:
            expect(page, kind).to_have_url(product.url + door)
    assert status(product, run) == "waiting"
    assert product.http.get("runs", params={"automation": "expired"}).json()["items"] == []


def test_a_page_of_one_environment_never_shows_or_does_anything_in_another(
    page: Page, context: BrowserContext, product: Product, complaints: list[str]
) -> None:
    enter(page, product, "admin")
    waiting_run(product, token="walls-1", source="walls-1")
    page.goto("/logs/?q=source:walls-1")
    keys = context.new_page()
    keys.goto("/keys/")
    keys.locator("#name").fill("for production")
    other = context.new_page()
    other.goto("/logs/")
    other.locator("#environment").click()
    other.get_by_role("button", name="test", exact=True).click()
    expect(other.locator("#environment")).to_have_text("Environment: test")
    expect(page.locator("#environment")).to_have_text("Environment: test")  # by itself, with its next poll
    expect(page.locator("#toast")).to_contain_text("test was chosen in another tab")
    expect(page.locator("[data-row]")).to_have_count(0)
    with keys.expect_response("**/keys/") as answered:
        keys.locator("#make-key").click()
    assert answered.value.status == 403
    expect(keys.locator("h1")).to_have_text("This page was out of date.")
    other.goto("/keys/")
    expect(other.locator("main")).not_to_contain_text("for production")
    other.locator("#environment").click()
    other.get_by_role("button", name="production", exact=True).click()
    expect(other.locator("#environment")).to_have_text("Environment: production")
    assert complaints == []


@pytest.mark.slow
def test_the_focus_is_where_one_would_go_on_after_each_dialog(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    first, second = (waiting_run(product, token=f"focus-{number}", source="focus") for number in (1, 2))
    page.goto("/logs/?q=source:focus")
    page.locator(f"#cancel-{first}").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(f"#cancel-{first}")).to_be_focused()
    page.keyboard.press("Enter")
    page.locator("#confirm-cancel").press("Enter")
    expect(page.locator(f"#row-{first} .badge")).to_have_text("Cancelled")
    expect(page.locator(f"#run-{first}")).to_be_focused()  # its Cancel button is gone
    page.goto(f"/logs/{second}/")
    page.locator("#cancel-run").press("Enter")
    page.locator("#confirm-cancel").press("Enter")
    expect(page.locator(".standing")).to_have_text("Cancelled")
    expect(page.locator("main")).to_be_focused()
    page.locator("#person-name").click()
    page.get_by_role("button", name="Keyboard shortcuts").press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#person-name")).to_be_focused()


@pytest.mark.slow
def test_the_focus_is_at_the_field_that_was_refused_and_at_the_menu_that_was_shut(
    page: Page, product: Product, complaints: list[str]
) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="refused-1")
    product.http.post(f"runs/{run}/cancel", json={}).raise_for_status()
    page.goto(f"/logs/{run}/")
    page.locator("#to-replay").click()
    page.locator("#replay-data").fill("{")
    page.locator("#start-replay").press("Enter")
    expect(page.locator("#new_data-errors")).to_be_visible()
    expect(page.locator("#replay-data")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("#environment").press("Enter")
    page.locator("#environment-test").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#environment")).to_be_focused()
    expect(page.locator("#environments")).not_to_have_attribute("open", "")
    assert len(complaints) == 1  # the 422
    complaints.clear()


@pytest.mark.slow
def test_whatever_is_drawn_anew_keeps_the_focus_by_its_id(page: Page, product: Product) -> None:
    enter(page, product, "admin")
    template(product, "named", DELAY, SEND, token="named-{{data.user_id}}")
    run = waiting_run(product, token="named")
    ended = invoke(product, definition={"steps": [SEND]}, data={"user_id": "u1"})
    for address in ("/?span=day", "/logs/", f"/logs/{run}/", f"/logs/{ended}/", "/templates/", "/templates/named/",
                    "/templates/named/steps/0", "/templates/named/settings", "/templates/named/invoke",
                    "/templates/named/json", "/templates/named/versions", "/bulk/new/?token=named"):  # fmt: skip
        page.goto(address)
        assert page.evaluate(NAMELESS) == [], address


@pytest.mark.slow
def test_nothing_is_read_out_but_what_answers_my_action(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="aloud", source="aloud")
    for address, seen in (("/?span=week", "#tile-waiting b"), ("/logs/?q=source:aloud", ".chips")):
        page.goto(address)
        page.evaluate(LISTEN)
        before = page.locator(seen).inner_text()
        waiting_run(product, token="aloud", source="aloud")
        expect(page.locator(seen)).not_to_have_text(before, use_inner_text=True)
        assert page.evaluate("() => window.spoken") == []
    page.locator(f"#cancel-{run}").click()
    page.locator("#confirm-cancel").click()
    expect(page.locator("#toast")).to_contain_text("No further step of this run will start.")
    (said, *_) = page.evaluate("() => window.spoken")
    assert 'id="toast"' in said


@pytest.mark.slow
def test_a_link_still_opens_in_another_tab(page: Page, context: BrowserContext, product: Product) -> None:
    enter(page, product, "viewer")
    page.goto("/logs/")
    with context.expect_page() as opened:
        page.locator("#chip-waiting").click(modifiers=["ControlOrMeta"])
    expect(opened.value).to_have_url(re.compile(r"/logs/\?status=waiting$"))
    expect(page).to_have_url(re.compile(r"/logs/$"))


@pytest.mark.slow
def test_the_badge_of_the_workers_is_fresh_and_takes_nobody_from_their_page(
    page: Page, product: Product, context: BrowserContext
) -> None:
    ask = "() => document.querySelector('#at-work').dispatchEvent(new Event('poll'))"
    enter(page, product, "admin")
    page.goto("/messages/~new/")
    badge = page.locator("#at-work")
    expect(badge).to_contain_text(re.compile(r"^\d+ workers?$"))
    badge.evaluate(BEFORE_ANYBODY)
    page.locator("#name").fill("not yet saved")
    page.evaluate(ask)
    expect(badge).to_contain_text(re.compile(r"^\d+ workers?$"))
    expect(page.locator("#name")).to_be_focused()
    context.clear_cookies()
    with page.expect_response("**/workers/**") as answer:
        page.evaluate(ask)
    assert answer.value.status == 204
    expect(page.locator("#name")).to_have_value("not yet saved")
