"""Two people at one template, and a viewer who may only look."""

from __future__ import annotations

from playwright.sync_api import Browser, Dialog, Page, expect

from tests.browser.visitors import enter, waiting_run
from tests.live import Product


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
    page.goto("/templates/shared/")
    theirs = page.context.new_page()
    theirs.goto("/templates/shared/")
    theirs.locator("#name").fill("Theirs")
    theirs.get_by_role("button", name="Save draft").click()
    expect(theirs.locator("#toast")).to_contain_text("Draft saved ")
    page.locator("#steps").fill('[{"action": "delay", "duration": "2 days"}]')
    page.locator("#name").fill("Mine")
    page.locator("#steps").press("Control+s")
    conflict = page.locator("#conflict")
    expect(conflict).to_contain_text("ana saved this draft")
    expect(conflict.locator(".theirs")).to_contain_text('"duration": "1 day"')
    expect(conflict.locator(".mine")).to_contain_text('"duration": "2 days"')
    expect(page.locator("#name")).to_have_value("Mine")
    expect(page.locator("#steps")).to_be_focused()
    page.get_by_role("button", name="Keep mine, over theirs").click()
    expect(page.locator("h1")).to_have_text("Mine")
    expect(page.locator(".badge")).to_have_text("Draft changes · v1 live")
    expect(conflict).to_have_count(0)
    assert complaints == [
        "Failed to load resource: the server responded with a status of 412 (Precondition Failed)"
    ]
    complaints.clear()


def test_what_is_not_saved_is_not_left_by_accident(page: Page, product: Product) -> None:
    publish(product, "guarded")
    enter(page, product, "admin")
    page.goto("/templates/guarded/")
    page.locator("#name").fill("Not saved")
    asked: list[str] = []

    def agree(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", agree)
    page.locator("#to-list").click()
    expect(page.locator("h1")).to_have_text("Automations")
    assert asked == ["beforeunload"]


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
    expect(page.locator("#steps")).to_be_disabled()
    for address in ("/logs/?q=viewer-1", f"/logs/{run}/"):
        page.goto(address)
        expect(page.locator("[data-row], #panel")).to_have_count(1)
        expect(page.locator(".cancel, #cancel-run")).to_have_count(0)
    token = page.evaluate("() => JSON.parse(document.body.getAttribute('hx-headers'))['X-CSRFToken']")
    posted = page.request.post(f"/logs/{run}/cancel/", headers={"X-CSRFToken": token, "Referer": product.url})
    assert (posted.status, complaints) == (403, [])
    assert "Your role, viewer, does not allow this." in posted.text()
