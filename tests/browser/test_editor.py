"""Two people at one template, and a viewer who may only look."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, expect

from tests.browser.test_live import hold, some
from tests.browser.visitors import enter, sign_out, waiting_run
from tests.live import Product
from tests.people import NAMES, PASSWORD

CONFLICT = "Failed to load resource: the server responded with a status of 412 (Precondition Failed)"


def publish(product: Product, key: str) -> None:
    definition = {
        "cancellation_token": f"{key}-{{{{data.user_id}}}}",
        "steps": [{"action": "delay", "duration": "1 day"}],
    }
    created = product.http.post("automations", json={"key": key, "name": "Shared", "definition": definition})
    assert created.status_code == 201
    assert product.http.post(f"automations/{key}/publish", json={}).status_code in (200, 201)


def test_the_second_who_saves_sees_both_versions_and_can_keep_either(
    page: Page, product: Product, complaints: list[str]
) -> None:
    publish(product, "shared")
    enter(page, product, "admin")
    page.goto("/templates/shared/steps/0")
    theirs = page.context.new_page()
    theirs.goto("/templates/shared/")
    theirs.locator("#add-step").click()
    theirs.get_by_role("button", name="Invoke another automation").click()
    expect(theirs.locator("#f-template")).to_be_focused()
    page.get_by_label("Wait", exact=True).fill("2 days")
    page.get_by_label("Wait", exact=True).press("Control+s")
    conflict = page.locator("#conflict")
    expect(conflict).to_contain_text("ana saved this draft")
    expect(page.locator(".head .badge")).to_have_text("Draft changes · v1 live")
    changes = page.locator(".changes > li")
    expect(changes.nth(0).locator("del")).to_have_text('theirs: "1 day"')
    expect(changes.nth(0).locator("ins")).to_have_text('yours: "2 days"')
    expect(changes.nth(1)).to_have_class("removed")
    page.get_by_role("button", name="Keep mine, over theirs").click()
    expect(page.locator("#words-0")).to_have_text("Delay 2 days")
    expect(page.locator("#standing")).to_have_text("Draft changes · v1 live")
    assert complaints == [CONFLICT]
    complaints.clear()


def test_what_is_not_saved_is_not_left_by_accident(page: Page, product: Product) -> None:
    publish(product, "guarded")
    enter(page, product, "admin")
    page.goto("/templates/guarded/settings")
    page.locator("#name").fill("Not saved")
    asked: list[str] = []

    def agree(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", agree)
    page.locator("#to-list").click()
    expect(page.locator("h1")).to_have_text("Automations")
    assert asked == ["beforeunload"]


def test_from_nothing_to_a_publication_by_keyboard(page: Page, product: Product) -> None:
    enter(page, product, "admin")
    page.goto("/templates/new/")
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type("By hand")
    page.keyboard.press("Tab")
    page.keyboard.type("by-hand")
    page.keyboard.press("Enter")
    expect(page.locator("#problems")).to_contain_text("must be a list with at least one step")
    add_two_steps(page)
    reorder_and_fill(page)
    page.locator("#to-publish").focus()
    page.keyboard.press("Enter")
    page.locator("#note").focus()
    page.keyboard.type("the first")
    page.keyboard.press("Enter")
    expect(page.locator("#standing")).to_have_text("Published · v1")
    steps = product.http.get("automations/by-hand").json()["draft"]["definition"]["steps"]
    assert steps == [
        {"action": "delay", "duration": "3 days"},
        {"action": "send", "message": {"content": {"title": "Hello"}}},
    ]


def add_two_steps(page: Page) -> None:
    for action, field in (("send", "message-content-title"), ("delay", "duration")):
        page.locator("#add-step").focus()
        page.keyboard.press("Enter")
        page.locator(f"#add-{action}").focus()
        page.keyboard.press("Enter")
        expect(page.locator(f"#f-{field}")).to_be_focused()
    expect(page).to_have_url(re.compile(r"/templates/by-hand/steps/1$"))
    page.keyboard.press("Control+a")
    page.keyboard.type("3 days")
    page.keyboard.press("Tab")
    expect(page.locator("#saved")).to_have_text(re.compile(r"^Saved \d\d:\d\d:\d\d$"))
    expect(page.locator("#words-1")).to_have_text("Delay 3 days")
    until = page.locator("#resolves-to time").get_attribute("datetime")
    assert datetime.fromisoformat(str(until)) - datetime.now(UTC) > timedelta(days=2, hours=23)


def reorder_and_fill(page: Page) -> None:
    page.locator("#up-1").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#up-0")).to_have_count(1)
    expect(page.locator(".steps li strong")).to_have_text(["Delay", "Send"])
    expect(page.locator("#step")).to_contain_text("Step 1: Delay")
    page.locator("#open-1").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#step")).to_contain_text("Step 2: Send")
    page.get_by_label("Title", exact=True).focus()
    page.keyboard.type("Hello")
    page.keyboard.press("Control+s")
    expect(page.locator("#words-1")).to_have_text("Send Hello")


def test_a_step_that_is_dragged_goes_where_the_buttons_would_put_it(page: Page, product: Product) -> None:
    publish(product, "dragged")
    enter(page, product, "admin")
    page.goto("/templates/dragged/json")
    page.locator("#definition").fill(
        json.dumps({"steps": [{"action": "delay", "duration": f"{days} days"} for days in (1, 2, 3)]})
    )
    page.get_by_role("button", name="Save draft").click()
    page.get_by_role("link", name="List").click()
    page.locator("#step-2 .grip").drag_to(page.locator("#step-0"), target_position={"x": 40, "y": 2})
    words = page.locator(".steps li a")
    expect(words).to_have_text(["1Delay 3 days", "2Delay 1 days", "3Delay 2 days"])
    page.locator("#down-0").click()
    expect(words).to_have_text(["1Delay 1 days", "2Delay 3 days", "3Delay 2 days"])
    expect(page.locator("#down-1")).to_be_focused()
    expect(page).to_have_url(re.compile(r"/steps/1$"))
    page.locator("#open-2").click()
    expect(page).to_have_url(re.compile(r"/steps/2$"))
    page.go_back()
    expect(page.locator("#step")).to_contain_text("Step 2: Delay")
    page.reload()
    expect(words).to_have_text(["1Delay 1 days", "2Delay 3 days", "3Delay 2 days"])


def test_a_double_click_invokes_once_with_the_token_and_the_code_that_were_shown(
    page: Page, product: Product
) -> None:
    publish(product, "tried")
    enter(page, product, "operator")
    page.goto("/templates/tried/invoke")
    page.locator("#sample_data").fill('{"user_id": "u5"}')
    expect(page.locator("#resolved-token")).to_have_text("tried-u5")
    expect(page.locator("#invoke-curl")).to_contain_text('"user_id": "u5"')
    page.get_by_role("button", name="Invoke").dblclick()
    expect(page.locator("#panel")).to_contain_text("tried-u5")
    assert len(product.http.get("runs", params={"automation": "tried"}).json()["items"]) == 1


def test_a_viewer_sees_no_button_and_is_refused(
    page: Page, product: Product, complaints: list[str], browser: Browser
) -> None:
    publish(product, "looked-at")
    run = waiting_run(product, token="viewer-1")
    enter(page, product, "viewer")
    page.goto("/templates/")
    expect(page.get_by_role("link", name="Create automation")).to_have_count(0)
    page.goto("/templates/looked-at/")
    expect(page.get_by_role("button", name="Publish")).to_have_count(0)
    page.locator("#open-0").click()
    expect(page.get_by_label("Wait", exact=True)).to_be_disabled()
    for address in ("/logs/?q=viewer-1", f"/logs/{run}/"):
        page.goto(address)
        expect(page.locator("[data-row], #panel")).to_have_count(1)
        expect(page.locator(".cancel, #cancel-run")).to_have_count(0)
    token = page.evaluate("() => JSON.parse(document.body.getAttribute('hx-headers'))['X-CSRFToken']")
    posted = page.request.post(f"/logs/{run}/cancel/", headers={"X-CSRFToken": token, "Referer": product.url})
    assert (posted.status, complaints) == (403, [])
    form = {"name": "Mine", "key": "mine", "csrfmiddlewaretoken": token}
    assert page.request.post("/templates/new/", form=form, headers={"Referer": product.url}).status == 403
    assert "Your role, viewer, does not allow this." in posted.text()


def two_sends(product: Product, key: str) -> None:
    send = {"action": "send", "message": {"content": {"title": "Hello", "body": "Base"}}}
    body = {
        "key": key,
        "name": key,
        "definition": {"steps": [send, {"action": "delay", "duration": "1 day"}]},
    }
    product.http.post("automations", json=body).raise_for_status()


def draft(product: Product, key: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = product.http.get(f"automations/{key}").json()["draft"]["definition"][
        "steps"
    ]
    return steps


def go_on(page: Page, held: list[Route]) -> None:
    some(page, held)
    held.pop(0).continue_()


def test_what_is_typed_while_a_save_is_under_way_is_in_the_version_that_is_mine(
    page: Page, product: Product, complaints: list[str]
) -> None:
    two_sends(product, "typed-on")
    enter(page, product, "admin")
    page.goto("/templates/typed-on/steps/0")
    theirs = {"steps": [{"action": "delay", "duration": "2 days"}]}
    product.http.put("automations/typed-on/draft", json={"definition": theirs}).raise_for_status()
    held = hold(page, "**/steps/0")
    page.locator("#f-message-content-title").fill("Mine")
    page.keyboard.press("Tab")
    some(page, held)
    page.locator("#f-message-content-body").press("End")
    page.locator("#f-message-content-body").press_sequentially(" and more")
    go_on(page, held)
    go_on(page, held)  # saved again, with what was typed meanwhile
    expect(page.locator("#conflict")).to_be_visible()
    page.locator("#keep-mine").click()
    expect(page.locator("#words-0")).to_have_text("Send Mine")
    assert draft(product, "typed-on")[0]["message"]["content"] == {"title": "Mine", "body": "Base and more"}
    assert complaints == [CONFLICT, CONFLICT]
    complaints.clear()


@pytest.mark.slow
def test_what_is_typed_while_its_step_moves_goes_with_it(page: Page, product: Product) -> None:
    two_sends(product, "moved-on")
    enter(page, product, "admin")
    page.goto("/templates/moved-on/steps/0")
    held = hold(page, re.compile("/templates/moved-on/$"))
    page.locator("#down-0").click()
    some(page, held)
    body = page.locator("#f-message-content-body")
    body.press("End")
    body.press_sequentially(" and on")
    go_on(page, held)
    expect(page.locator("#step h2")).to_have_text("Step 2: Send")
    expect(body).to_have_value("Base and on")
    expect(body).to_be_focused()
    expect(page.locator("#saved")).to_have_text(re.compile(r"^Saved "))
    assert draft(product, "moved-on")[1]["message"]["content"]["body"] == "Base and on"


@pytest.mark.slow
def test_what_is_typed_while_another_step_is_asked_for_is_saved_before_it_is_shown(
    page: Page, product: Product
) -> None:
    two_sends(product, "asked-on")
    enter(page, product, "admin")
    page.goto("/templates/asked-on/steps/0")
    held = hold(page, "**/steps/1")
    page.locator("#open-1").click()
    some(page, held)
    page.locator("#f-message-content-title").press("End")
    page.locator("#f-message-content-title").press_sequentially("!")
    go_on(page, held)
    go_on(page, held)
    expect(page.locator("#step h2")).to_have_text("Step 2: Delay")
    assert draft(product, "asked-on")[0]["message"]["content"]["title"] == "Hello!"


def test_a_save_after_the_login_has_expired_keeps_the_page_until_one_has_signed_in_beside_it(
    page: Page, product: Product
) -> None:
    two_sends(product, "expired-save")
    enter(page, product, "admin")
    page.goto("/templates/expired-save/steps/0")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.locator("#f-message-content-title").fill("Typed after it expired")
    sign_out(page)
    page.locator("#save").click(no_wait_after=True)
    expect(page.locator("#saved")).to_have_text("Not saved")
    expect(page.locator("#toast")).to_contain_text("You are signed out")
    with page.expect_popup() as opened:
        page.locator("#sign-in").click()
    beside = opened.value
    beside.get_by_label("Username").fill(NAMES["admin"])
    beside.get_by_label("Password").fill(PASSWORD)
    beside.keyboard.press("Enter")
    expect(beside).to_have_url(f"{product.url}/templates/expired-save/steps/0")
    page.locator("#save").click()
    expect(page.locator("#saved")).to_have_text(re.compile(r"^Saved "))
    assert draft(product, "expired-save")[0]["message"]["content"]["title"] == "Typed after it expired"
    page.locator("#to-list").click()
    expect(page.locator("h1")).to_have_text("Automations")
    assert asked == []


@pytest.mark.slow
def test_the_focus_goes_with_a_step_to_the_first_place_and_the_last(page: Page, product: Product) -> None:
    two_sends(product, "to-the-top")
    enter(page, product, "admin")
    page.goto("/templates/to-the-top/")
    page.locator("#up-1").focus()
    for focused, order in (("down-0", ["delay", "send"]), ("up-1", ["send", "delay"])):
        page.keyboard.press("Enter")
        expect(page.locator(f"#{focused}")).to_be_focused()
        assert [step["action"] for step in draft(product, "to-the-top")][:2] == order


@pytest.mark.slow
def test_a_save_that_failed_says_so_and_leaving_asks(
    page: Page, product: Product, complaints: list[str]
) -> None:
    two_sends(product, "failed-save")
    enter(page, product, "admin")
    page.goto("/templates/failed-save/steps/0")
    page.route("**/steps/0", lambda route: route.fulfill(status=500))
    page.locator("#f-message-content-title").fill("Kept?")
    page.keyboard.press("Tab")
    expect(page.locator("#saved")).to_have_text("Not saved")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    with page.expect_event("dialog"):
        page.locator("#to-list").click(no_wait_after=True)
    assert asked == ["beforeunload"]
    page.unroute("**/steps/0")
    page.locator("#save").click()
    expect(page.locator("#saved")).to_have_text(re.compile(r"^Saved "))
    page.locator("#to-list").click()
    expect(page.locator("h1")).to_have_text("Automations")
    assert (len(asked), draft(product, "failed-save")[0]["message"]["content"]["title"]) == (1, "Kept?")
    complaints.clear()


@pytest.mark.slow
def test_the_form_of_a_step_is_in_sight_however_long_the_automation(page: Page, product: Product) -> None:
    steps = [{"action": "delay", "duration": f"{days} days"} for days in range(1, 41)]
    body = {"key": "forty", "name": "forty", "definition": {"steps": steps}}
    product.http.post("automations", json=body).raise_for_status()
    enter(page, product, "admin")
    for width, shown in ((1280, 35), (390, 36)):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/templates/forty/")
        page.locator(f"#open-{shown - 1}").click()
        expect(page.locator("#step h2")).to_have_text(f"Step {shown}: Delay")
        expect(page.locator("#step h2")).to_be_in_viewport()
        expect(page.locator("#f-duration")).to_be_in_viewport()
    page.set_viewport_size({"width": 1280, "height": 300})
    page.locator("#more-words").click()
    page.locator("#save").scroll_into_view_if_needed()
    expect(page.locator("#save")).to_be_in_viewport()


@pytest.mark.slow
def test_a_step_is_removed_once_one_has_said_so(page: Page, product: Product) -> None:
    two_sends(product, "asked-first")
    enter(page, product, "admin")
    page.goto("/templates/asked-first/")
    page.locator("#ask-0").click()
    expect(page.locator("#remove-0")).to_be_focused()
    page.locator("#keep-0").click()
    expect(page.locator(".sure")).to_have_count(0)
    assert len(draft(product, "asked-first")) == 2
    page.locator("#ask-0").click()
    page.locator("#remove-0").press("Enter")
    expect(page.locator(".steps li")).to_have_count(1)
    assert draft(product, "asked-first") == [{"action": "delay", "duration": "1 day"}]
