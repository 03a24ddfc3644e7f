"""What the pages owe the people in front of them, beyond what the other files show: one test for each promise."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.visitors import DELAY, SEND, enter, invoke, status, waiting_run
from tests.live import Product
from tests.people import NAMES, PASSWORD

ADDRESSES = (
    "/", "/logs/", "/bulk/", "/bulk/new/", "/templates/", "/messages/", "/recipients/", "/webhooks/", "/providers/",
    "/keys/", "/users/", "/environments/", "/audit/", "/docs/", "/docs/steps/", "/docs/api/",
)  # fmt: skip
SENT = """() => performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"))
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""


def test_ticks_stay_while_others_come_and_lead_to_one_preview(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    first, second, third = (waiting_run(product, token="ticks", source="ticks") for _ in range(3))
    page.clock.install()
    page.goto("/logs/?q=source:ticks")
    page.locator(f"#run-{first}").focus()
    page.keyboard.press("x")
    expect(page.locator(f"#tick-{first}")).to_be_checked()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(10_000)
    assert asked == []
    expect(page.locator("#live")).to_have_text("Paused · UTC", use_inner_text=True)
    page.locator(f"#tick-{third}").check()
    page.locator("#cancel-ticked").click()
    expect(page.locator("#plan-title")).to_have_text("This calls off 2 runs")
    page.locator("#confirm-cancel").click()
    expect(page.locator("#called-off")).to_contain_text("Called off 2 runs.")
    assert [status(product, run) for run in (first, second, third)] == ["cancelled", "waiting", "cancelled"]


def test_an_expired_login_leads_to_the_door_and_back_to_the_same_list(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    page.goto("/logs/?status=waiting")
    page.context.clear_cookies()
    expect(page).to_have_url(re.compile(r"/login/\?next=%2Flogs%2F%3Fstatus%3Dwaiting$"))
    page.get_by_label("Username").fill(NAMES["viewer"])
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/logs/\?status=waiting$"))
    expect(page.locator("#chip-waiting")).to_have_attribute("aria-current", "true")


@pytest.mark.slow
def test_a_run_invoked_after_the_preview_survives_it_in_either_tab(
    page: Page, context: BrowserContext, product: Product
) -> None:
    enter(page, product, "operator")
    shown = waiting_run(product, token="two-tabs")
    other = context.new_page()
    for tab in (page, other):
        tab.goto("/bulk/new/?token=two-tabs")
        expect(tab.locator("#plan-title")).to_have_text("This calls off 1 run")
    later = waiting_run(product, token="two-tabs")
    for tab, said in ((page, "Called off 1 run."), (other, "No run was called off.")):
        tab.locator("#confirm-cancel").click()
        expect(tab.locator("#called-off")).to_contain_text(said)
    assert (status(product, shown), status(product, later)) == ("cancelled", "waiting")


@pytest.mark.slow
def test_the_dialog_says_what_it_prevents_and_the_page_what_it_did(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="prevented")
    page.goto(f"/logs/{run}/")
    page.get_by_role("button", name="Cancel run").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".prospects li")).to_have_text(
        ["Step 3 Send will not run.", "Step 1 Send already ran and is not undone."]
    )
    dialog.get_by_label("Reason").fill("a mistake")
    dialog.get_by_role("button", name="Cancel run").click()
    expect(page.locator("#toast")).to_contain_text("by otto. No further step of this run will start.")
    expect(page.locator("#called-off")).to_contain_text("by otto")
    expect(page.locator("#called-off")).to_contain_text("from the browser: “a mistake”")
    expect(page.locator(".timeline .cancelled .at")).to_have_text(["prevented", "prevented"])
    page.locator("#to-why").click()
    expect(dialog).to_contain_text("Hit: the run matches what was asked for, and had not ended.")


@pytest.mark.slow
def test_a_cancel_that_comes_too_late_says_so(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="late")
    page.goto(f"/logs/{run}/cancel/")
    product.http.post(f"runs/{run}/cancel", json={}).raise_for_status()
    page.get_by_role("button", name="Cancel run").click()
    expect(page.locator("#toast")).to_contain_text("This run was already cancelled by key")
    expect(page.locator("#toast")).to_contain_text("Nothing was changed.")


@pytest.mark.slow
def test_an_older_page_stands_still_and_says_what_is_new(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    for _ in range(51):
        invoke(product, definition={"steps": [DELAY, SEND]}, source="older")
    page.clock.install()
    page.goto("/logs/?q=source:older")
    page.locator("#older").click()
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page.locator("#live")).to_have_text("Not live · UTC", use_inner_text=True)
    invoke(product, definition={"steps": [DELAY, SEND]}, source="older")
    page.clock.run_for(5_400)
    expect(page.locator("#to-newer")).to_have_text("1 new")
    expect(page.locator("[data-row]")).to_have_count(1)
    page.locator("#to-newer").click()
    expect(page.locator("[data-row]")).to_have_count(50)


@pytest.mark.slow
def test_a_key_is_shown_once_works_and_is_refused_from_its_revocation_on(
    page: Page, product: Product
) -> None:
    enter(page, product, "admin")
    page.goto("/keys/")
    page.locator("#name").fill("acceptance")
    page.locator("#make-key").click()
    key = page.locator("#api-key").inner_text()
    ask = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{product.url}/api/v1/runs", headers=ask).status_code == 200
    page.locator("#to-keys").click()
    row = page.locator("[data-row]", has_text="acceptance")
    expect(row).to_be_visible()
    assert key.rpartition("_")[2] not in page.content()
    row.locator("summary").click()
    row.get_by_label("Type its name").fill("acceptance")
    row.get_by_role("button", name="Revoke").click()
    expect(page.locator("#toast")).to_contain_text("is revoked")
    answers = {httpx.get(f"{product.url}/api/v1/runs", headers=ask).status_code for _ in range(20)}
    assert answers == {401}  # whichever process of the web server is asked
    assert key.rpartition("_")[2] not in product.manage("dumpdata")  # every table
    page.goto("/audit/?q=key/&action=key")
    expect(page.locator("[data-row]").first).to_contain_text("key.revoked")


@pytest.mark.slow
def test_the_attempts_of_a_delivery_show_up_by_themselves(page: Page, product: Product) -> None:
    enter(page, product, "admin")
    page.goto("/webhooks/")
    page.locator("#url").fill("http://nobody.invalid/hooks")
    page.locator("#make").click()
    expect(page.locator("#secret")).to_contain_text("whsec_")
    page.locator("#to-webhook").click()
    page.locator("#test").click()
    row = page.locator("#deliveries [data-row]")
    expect(row).to_contain_text("Pending")
    expect(row.locator("summary")).to_contain_text("1")
    row.locator("summary").click()
    expect(row.locator(".events")).to_contain_text("no answer")


@pytest.mark.slow
def test_the_environment_is_a_band_on_every_page_and_its_walls_hold(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="walls")
    page.goto("/logs/?q=walls")
    expect(page.locator("[data-row]")).to_have_count(1)
    colours = [page.locator("header.bar").evaluate("(bar) => getComputedStyle(bar).backgroundColor")]
    page.locator("#environment").click()
    page.get_by_role("button", name="test", exact=True).click()
    expect(page.locator("#environment")).to_have_text("Environment: test")
    colours.append(page.locator("header.bar").evaluate("(bar) => getComputedStyle(bar).backgroundColor"))
    assert len(set(colours)) == 2
    page.goto("/logs/?q=walls")
    expect(page.locator(".empty")).to_contain_text("No run matches.")
    page.goto(f"/logs/?q={run}")
    expect(page.locator("[data-row]")).to_have_count(0)
    page.locator("#environment").click()
    page.get_by_role("button", name="production", exact=True).click()
    expect(page.locator("#environment")).to_have_text("Environment: production")


@pytest.mark.slow
def test_no_page_asks_another_host_or_leaves_its_place(page: Page, product: Product) -> None:
    enter(page, product, "admin")
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    for address in ADDRESSES:
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200, address
        expect(page.locator("nav.side [aria-current=page]")).to_have_count(1)
        sent = page.evaluate(SENT)
        assert sent < 60_000, (address, sent)
    assert hosts == {urlsplit(product.url).netloc}
