"""What a run and a cancellation say afterwards, and who may call off many at once."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitors import enter, invoke, status, waiting_run
from tests.live import Product

MOMENT = r"Cancelled \d+ \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} UTC by "


@pytest.mark.slow
def test_a_cancelled_run_says_who_when_from_where_and_what_it_prevented(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    runs = {how: waiting_run(product, token=f"cause-{how}") for how in ("run", "token", "button", "filter")}
    product.http.post(f"runs/{runs['run']}/cancel", json={"reason": "by its id"}).raise_for_status()
    product.http.post("cancellations", json={"filter": {"token": "cause-token"}}).raise_for_status()
    page.goto(f"/logs/{runs['button']}/cancel/")
    page.locator("#confirm-cancel").click()
    page.goto("/bulk/new/?token=cause-filter")
    page.locator("#reason").fill("by a filter")
    page.locator("#confirm-cancel").click()
    expect(page.locator("#called-off")).to_contain_text("Called off 1 run.")
    for how, (who, where, asked) in {
        "run": (r"key “.+”", "from the API: “by its id”", f"run {runs['run'][:8]}"),
        "token": (r"key “.+”", "from the API.", "token cause-token"),
        "button": ("otto", "from the browser.", f"run {runs['button'][:8]}"),
        "filter": ("otto", "from the browser: “by a filter”", "token cause-filter"),
    }.items():
        page.goto(f"/logs/{runs[how]}/")
        expect(page.locator("#called-off")).to_have_text(re.compile(MOMENT + who), use_inner_text=True)
        expect(page.locator("#called-off")).to_contain_text(where)
        expect(page.locator("#called-off")).to_contain_text("no further step of this run will start")
        expect(page.locator(".timeline .cancelled .at")).to_have_text(["prevented", "prevented"])
        page.locator("#to-cancellation").click()
        expect(page.locator("h1")).to_contain_text(asked, ignore_case=True)
        expect(page.locator("#its-runs")).to_be_visible()


@pytest.mark.slow
def test_a_run_that_ended_before_the_button_says_so_and_stays_as_it_is(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    definition = {"steps": [{"action": "delay", "duration": "4 seconds"}]}
    run = invoke(product, definition=definition)
    page.goto(f"/logs/{run}/")
    page.locator("#cancel-run").click()
    expect(page.locator("#confirm-cancel")).to_be_visible()
    while status(product, run) != "completed":
        page.wait_for_timeout(50)
    page.locator("#confirm-cancel").click()
    expect(page.locator("#toast")).to_have_text(
        re.compile(r"This run finished at .*\d\d:\d\d:\d\d.*, before the cancel")
    )
    expect(page.locator(".standing .badge")).to_have_text("Completed")
    expect(page.locator("#cancel-run")).to_have_count(0)


@pytest.mark.slow
def test_an_ended_run_asks_nothing_in_two_and_a_half_seconds(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    run = waiting_run(product, token="asks-nothing")
    page.goto(f"/logs/{run}/")
    page.locator("#cancel-run").click()
    page.locator("#confirm-cancel").click()
    expect(page.locator(".standing")).to_have_text("Cancelled")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2_500)
    assert asked == []


@pytest.mark.slow
def test_many_are_called_off_by_operators_alone_and_never_without_a_filter(
    page: Page, product: Product, complaints: list[str]
) -> None:
    run = waiting_run(product, token="many-1")
    enter(page, product, "viewer")
    page.goto("/bulk/")
    expect(page.locator("#new")).to_have_count(0)
    page.goto("/bulk/new/?token=many-1")
    expect(page.locator("h1")).to_have_text("You may not do this.")
    enter(page, product, "operator")
    page.goto("/bulk/new/")
    page.locator("#preview").click()
    expect(page.locator("#confirm-cancel")).to_have_count(0)
    page.locator("#token").fill("many-nothing")
    page.locator("#preview").click()
    expect(page.locator("#plan-title")).to_have_text("No unfinished run matches")
    expect(page.locator("#confirm-cancel")).to_have_count(0)
    page.goto("/bulk/new/?token=many-1")
    page.locator("#confirm [name=plan]").evaluate("(field) => { field.value = `${field.value}x`; }")
    page.locator("#confirm-cancel").click()
    expect(page.locator("#refusal")).to_contain_text("Look at the new preview.")
    assert status(product, run) == "waiting"
    assert [re.findall(r"status of (\d+)", said) for said in complaints] == [["403"], ["422"], ["412"]]
    complaints.clear()


@pytest.mark.slow
def test_the_preview_leads_to_what_it_says(page: Page, product: Product) -> None:
    enter(page, product, "operator")
    waiting_run(product, token="in-sight")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/bulk/new/")
    page.locator("#token").fill("in-sight")
    page.locator("#preview").click()
    expect(page.locator("#plan-title")).to_have_text("This calls off 1 run")
    expect(page.locator("#plan-title")).to_be_in_viewport()
