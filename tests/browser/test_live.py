"""What changes by itself on a page, what must not, and when it stops asking."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.visitors import DELAY, SEND, enter, invoke, status, waiting_run
from tests.live import Product

WATCH_BADGES = """() => {
    window.badges = [];
    const look = () => {
        const now = document.querySelector(".standing .badge").textContent.trim();
        if (window.badges.at(-1) !== now) window.badges.push(now);
    };
    look();
    new MutationObserver(look).observe(document.getElementById("main"), {childList: true, subtree: true});
}"""


def test_a_new_run_and_its_cancel_show_up_while_the_focus_stays(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    first = waiting_run(product, token="live-1", source="live")
    page.clock.install()
    page.goto("/logs/?q=source:live")
    expect(page.locator("#live")).to_have_text("Live, every 2 s · UTC", use_inner_text=True)
    focused = page.locator(f"#run-{first}")
    focused.focus()
    second = waiting_run(product, token="live-2", source="live")
    page.clock.run_for(2_200)
    expect(page.locator(f"#row-{second}")).to_contain_text("Waiting · step 2 Delay")
    product.http.post("cancellations", json={"filter": {"token": "live-2"}})
    page.clock.run_for(2_200)
    expect(page.locator(f"#row-{second}")).to_contain_text("Cancelled")
    expect(page.locator(f"#row-{second} .cancel")).to_have_count(0)
    expect(focused).to_be_focused()
    expect(page).to_have_url(re.compile(r"/logs/\?q=source:live$"))


def test_the_filters_stand_in_the_address_and_survive_reload_and_back(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    run = waiting_run(product, token="filters-1")
    page.goto("/logs/")
    page.locator("#q").fill("filters-1")
    expect(page).to_have_url(re.compile(r"/logs/\?q=filters-1$"))
    page.locator("#chip-waiting").click(
        delay=300
    )  # as long as a finger takes: nothing is drawn anew beneath it
    expect(page).to_have_url(re.compile(r"/logs/\?q=filters-1&status=waiting$"))
    page.locator("#started").select_option("Last hour")
    expect(page).to_have_url(re.compile(r"/logs/\?q=filters-1&status=waiting&started=1h$"))
    expect(page.locator("[data-row]")).to_have_count(1)
    page.reload()
    expect(page.locator("#chip-waiting")).to_have_attribute("aria-current", "true")
    page.locator(f"#run-{run}").click()
    expect(page.locator("h1")).to_have_text(run)
    page.go_back()
    expect(page.locator("#q")).to_have_value("filters-1")
    expect(page.locator("#started")).to_have_value("1h")
    expect(page.locator("[data-row]")).to_have_count(1)


def test_a_run_is_followed_to_its_end_and_then_left_alone(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    run = invoke(
        product,
        definition={"steps": [{"action": "delay", "duration": "3 seconds"}, SEND]},
        data={"user_id": "u1"},
    )
    page.clock.install()
    page.goto(f"/logs/{run}/")
    expect(page.locator(".standing")).to_contain_text("Waiting · step 1 Delay")
    expect(page.locator(".standing")).to_contain_text("Completed")
    expect(page.locator(".message")).to_contain_text("To u1")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(10_000)
    assert asked == []


@pytest.mark.parametrize("late", ["before the cancel is answered", "after the cancel is answered"])
def test_a_slow_answer_never_brings_an_older_state_back(page: Page, product: Product, late: str) -> None:
    enter(page, product, "operator")
    token = f"race-{late[0]}"
    run = waiting_run(product, token=token)
    page.goto(f"/logs/{run}/")
    page.evaluate(WATCH_BADGES)
    polls, posts = hold(page, "**/logs/*/?tag=*"), hold(page, "**/logs/*/cancel/")
    invoke(product, definition={"cancellation_token": token, "steps": [DELAY]})  # or the poll would get a 204
    stale = some(page, polls).fetch()
    assert (stale.status, "Waiting · step 2 Delay" in stale.text()) == (200, True)
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
    cancel = some(page, posts)
    if late.startswith("before"):
        polls[0].fulfill(response=stale)
        page.wait_for_timeout(200)
        cancel.continue_()
    else:
        cancel.continue_()
        expect(page.locator(".standing")).to_have_text("Cancelled")
        polls[0].fulfill(response=stale)
        page.wait_for_timeout(200)
    expect(page.locator(".standing")).to_have_text("Cancelled")
    assert page.evaluate("() => window.badges") == ["Waiting · step 2 Delay", "Cancelled"]
    assert status(product, run) == "cancelled"


@pytest.mark.slow
def test_the_dialog_opens_though_its_row_was_drawn_anew_meanwhile(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="redrawn-1", source="redrawn")
    page.goto("/logs/?q=source:redrawn")
    asked = hold(page, f"**/logs/{run}/cancel/*")
    page.locator(f"#cancel-{run}").click()
    held = some(page, asked)
    waiting_run(product, token="redrawn-2", source="redrawn")
    expect(page.locator("[data-row]")).to_have_count(2)
    held.continue_()
    expect(page.get_by_role("dialog")).to_contain_text("Cancel this run?")


def hold(page: Page, address: str | re.Pattern[str]) -> list[Route]:
    """Requests to this address from now on, each held until the test lets it go."""
    held: list[Route] = []
    page.route(address, lambda route: held.append(route))
    return held


def some(page: Page, held: list[Route]) -> Route:
    while not held:
        page.wait_for_timeout(20)
    return held[0]


@pytest.mark.slow
def test_nothing_is_asked_while_a_dialog_is_open(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="dialog-1")
    page.clock.install()
    page.goto(f"/logs/{run}/")
    page.get_by_role("button", name="Cancel run").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Keep it running")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(10_000)
    assert asked == []
    dialog.get_by_role("button", name="Keep it running").click()
    expect(dialog).to_have_count(0)
    with page.expect_response(lambda answer: "?tag=" in answer.url) as polled:
        pass
    assert polled.value.status == 204
    assert status(product, run) == "waiting"


def test_a_list_that_cannot_ask_says_so_and_recovers(
    page: Page, product: Product, complaints: list[str]
) -> None:
    enter(page, product, "viewer")
    waiting_run(product, token="retry-1")
    page.clock.install()
    page.goto("/logs/")
    page.route("**/logs/?tag=*", lambda route: route.abort())
    live = page.locator("#live")
    for said in ("Live, every 2 s · UTC", "Not live: retrying · UTC"):
        with page.expect_event("requestfailed"):
            page.clock.run_for(2_200)
        page.clock.run_for(200)
        expect(live).to_have_text(said, use_inner_text=True)
    page.unroute("**/logs/?tag=*")
    page.clock.run_for(4_200)
    expect(live).to_have_text("Live, every 2 s · UTC", use_inner_text=True)
    complaints.clear()


def test_cancelling_from_the_list_leaves_one_in_the_list(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    runs = [waiting_run(product, token="shared-1") for _ in range(2)]
    page.goto("/logs/?q=shared-1")
    page.locator(f"#cancel-{runs[0]}").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("All 2 unfinished runs with the token shared-1").check()
    dialog.get_by_role("button").last.click()
    expect(page.locator("#toast .info")).to_have_text("Cancelled 2 runs. No further step of them will start.")
    expect(page.locator("[data-row] .badge")).to_have_text(["Cancelled", "Cancelled"])
    expect(page.locator(".cancel")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/logs/\?q=shared-1$"))
    page.locator("#toast-undo").click()
    expect(page).to_have_url(re.compile(r"/bulk/[-0-9a-f]{36}/$"))
    expect(page.locator("#undone")).to_contain_text("2 runs go on.")
    assert [status(product, run) for run in runs] == ["waiting", "waiting"]


@pytest.mark.slow
def test_the_undo_of_a_cancel_stays_while_it_is_open_and_never_goes_from_under_the_focus(
    page: Page, product: Product
) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="toast-1", source="toast")
    page.clock.install()
    page.goto("/logs/?q=source:toast")
    page.locator(f"#cancel-{run}").click()
    page.locator("#confirm-cancel").click()
    undo = page.locator("#toast-undo")
    expect(undo).to_be_visible()
    page.clock.run_for(30_000)
    waiting_run(product, token="toast-2", source="toast")  # what draws the list anew
    page.clock.run_for(2_200)
    expect(page.locator("[data-row]")).to_have_count(2)
    undo.focus()
    page.clock.run_for(60_000)
    expect(undo).to_be_focused()
    page.locator("#q").focus()
    page.clock.run_for(61_000)
    expect(page.locator("#toast")).to_be_empty()


@pytest.mark.slow
def test_a_list_that_is_drawn_anew_does_not_keep_what_was_said(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    page.clock.install()
    page.goto("/logs/?q=source:said")
    page.evaluate("() => say('Said once.')")
    for number in range(3):
        waiting_run(product, token=f"said-{number}", source="said")
        page.clock.run_for(4_000)
        expect(page.locator("[data-row]")).to_have_count(number + 1)
    expect(page.locator("#toast")).to_be_empty()


def test_the_page_of_a_run_says_whether_it_is_live_while_the_run_may_change(
    page: Page, product: Product, complaints: list[str]
) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="run-live-1")
    page.clock.install()
    page.goto(f"/logs/{run}/")
    live = page.locator("#live")
    page.clock.run_for(400)
    expect(live).to_have_text("Live", use_inner_text=True)
    page.route("**/logs/*/?tag=*", lambda route: route.abort())
    for _ in range(2):
        with page.expect_event("requestfailed"):
            page.clock.run_for(1_200)
    page.clock.run_for(200)
    expect(live).to_have_text("Not live: retrying", use_inner_text=True)
    page.unroute("**/logs/*/?tag=*")
    product.http.post(f"runs/{run}/cancel", json={}).raise_for_status()
    page.clock.run_for(4_200)
    expect(page.locator(".standing")).to_have_text("Cancelled")
    page.clock.run_for(400)
    expect(live).to_have_text("", use_inner_text=True)
    complaints.clear()
