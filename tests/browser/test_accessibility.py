"""No page breaks a rule of axe, in light, in dark and on a telephone, and none scrolls sideways at 320 px."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.template.loader import render_to_string
from playwright.sync_api import Page, expect

from tests.browser.visitors import SEND, enter, invoke, make_people, status, waiting_run
from tests.live import Product

AXE = Axe()
# The rules that a change of colours, or of the width, could break.
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
WIDTH = {
    "runOnly": {"type": "rule", "values": ["target-size", "scrollable-region-focusable", "color-contrast"]}
}


@cache
def scene(product: Product) -> dict[str, str]:
    """A run of each look."""
    make_people(product)
    broken = {"action": "send", "message": {"content": {"title": "${throw new Error('no')}"}}}
    runs = {
        "waiting": waiting_run(product, token="axe-waiting"),
        "cancelled": waiting_run(product, token="axe-cancelled"),
        "failed": invoke(product, definition={"steps": [broken]}, source="axe"),
        "completed": invoke(product, definition={"steps": [{**SEND, "if": "false"}]}, source="axe"),
    }
    product.http.post("cancellations", json={"filter": {"token": "axe-cancelled"}, "reason": "axe"})
    product.manage("shell", "--no-imports", "-c", "from tests.scenery import furnish; furnish()")
    delay: dict[str, Any] = {"action": "delay", "duration": "1 day"}
    changed = {
        "cancellation_token": "a-{{data.x}}",
        "steps": [{**delay, "if": "data.x"}, SEND, {"action": "sing"}],
    }
    product.http.post(
        "automations", json={"key": "changed", "name": "Changed", "definition": {"steps": [delay, SEND]}}
    )
    product.http.post("automations/changed/publish", json={})
    product.http.put("automations/changed/draft", json={"definition": changed})
    product.http.post("automations/changed/disable", json={"mode": "hold"})
    return runs


def opened(*, selector: str, shown: str) -> Callable[[Page], None]:
    def open_it(page: Page) -> None:
        page.locator(selector).first.click()
        expect(page.locator(shown)).to_be_visible()

    return open_it


def previewed(page: Page) -> None:
    page.get_by_label("Expression").fill("the same for all refs.data.x")
    expect(page.locator(".warning").first).to_be_visible()
    page.locator("#rules summary").click()


def added(page: Page) -> None:
    page.locator("#add-step").click()
    expect(page.locator("#add-send")).to_be_visible()


def refused(page: Page) -> None:
    page.get_by_role("button", name="Create draft").click()
    expect(page.locator("#name-errors")).to_be_visible()


def wrong(page: Page) -> None:
    page.locator("#sample_data").fill("{")
    page.get_by_role("button", name="Invoke").click()
    expect(page.locator("#sample_data-errors")).to_be_visible()


PAGES: dict[str, tuple[str | None, str, Callable[[Page], None] | None]] = {
    "login": (None, "/login/", None),
    "not found": ("viewer", "/nothing/", None),
    "overview": ("operator", "/?span=day", None),
    "cancellations": ("viewer", "/bulk/", None),
    "one cancellation": ("viewer", "/bulk/", opened(selector=".cancellations a", shown="#its-runs")),
    "many": ("operator", "/bulk/new/?token=axe-waiting&due_before=soon", None),
    "plan": ("operator", "/bulk/new/?token=axe-waiting", None),
    "logs and menu": ("operator", "/logs/", opened(selector="#person-name", shown="#log-out")),
    "no hits": ("operator", "/logs/?q=nothing-like-it&started=1h", None),
    "waiting": ("operator", "/logs/{waiting}/", None),
    "dialog": ("operator", "/logs/{waiting}/", opened(selector="#cancel-run", shown="#confirm-cancel")),
    "confirm": ("operator", "/logs/{waiting}/cancel/", None),
    "cancelled": ("viewer", "/logs/{cancelled}/", opened(selector="#raw summary", shown="#raw-json")),
    "failed": ("viewer", "/logs/{failed}/", opened(selector="#events summary", shown=".events")),
    "another time": ("operator", "/logs/{waiting}/time/", None),
    "replay": ("operator", "/logs/{cancelled}/", opened(selector="#to-replay", shown="#start-replay")),
    "keys": ("admin", "/keys/", opened(selector="[data-row] summary", shown="[name=keep] >> nth=0")),
    "users": ("admin", "/users/", opened(selector="[data-row] summary", shown="[name=is_active] >> nth=0")),
    "automations and help": ("admin", "/templates/", lambda page: page.keyboard.press("?")),
    "editor": (
        "admin",
        "/templates/onboarding-reminder/steps/0",
        lambda page: page.locator("#more-words").click(),
    ),
    "menu of actions": ("admin", "/templates/changed/", added),
    "json": ("admin", "/templates/onboarding-reminder/json", None),
    "settings": ("admin", "/templates/onboarding-reminder/settings", previewed),
    "settings to read": ("viewer", "/templates/onboarding-reminder/settings", None),
    "versions": ("admin", "/templates/changed/versions", None),
    "its runs": ("operator", "/templates/onboarding-reminder/runs", None),
    "publish": ("admin", "/templates/changed/publish", None),
    "disable": ("admin", "/templates/changed/disable", None),
    "enable": ("admin", "/templates/changed/enable", None),
    "invoke": ("operator", "/templates/onboarding-reminder/invoke", wrong),
    "use": ("operator", "/templates/onboarding-reminder/use?api=knock", None),
    "refused": ("admin", "/templates/new/", refused),
}
PAGES |= {
    "ticked": ("operator", "/logs/", opened(selector=".tick", shown="#cancel-ticked")),
    "why": ("viewer", "/logs/{waiting}/", opened(selector="#to-why", shown="#explain")),
    "webhooks": ("admin", "/webhooks/", None),
    "webhook": ("admin", "/webhooks/", opened(selector=".plain-list tr:last-child a", shown="#deliveries")),
    "recipients": ("operator", "/recipients/", None),
    "recipient": ("admin", "/recipients/?q=ada", opened(selector="[data-row] a", shown="#save")),
    "lists": ("admin", "/recipients/lists/", None),
    "list": ("admin", "/recipients/lists/team/", opened(selector="#away summary", shown="#remove")),
    "messages": ("viewer", "/messages/", None),
    "message": ("admin", "/messages/welcome/", opened(selector="#try", shown="#shown-title")),
    "providers": ("admin", "/providers/", opened(selector="[data-row] summary", shown="#remove-hooks")),
    "environments": ("admin", "/environments/", opened(selector="#look-staging", shown="#results")),
    "audit": ("admin", "/audit/", None),
    "docs": ("viewer", "/docs/", None),
    "docs: steps": ("viewer", "/docs/steps/", None),
    "docs: webhooks": ("viewer", "/docs/webhooks/", None),
    "docs: settings": ("viewer", "/docs/settings/", None),
}


def overtaken(page: Page) -> None:
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("#copy-0").click()
    expect(other.locator("#open-3")).to_be_visible()
    other.close()
    page.locator("#ask-0").click()
    page.locator("#remove-0").click()
    expect(page.locator("#conflict")).to_be_visible()


def tampered(page: Page) -> None:
    page.locator("#confirm [name=plan]").evaluate("(field) => { field.value = 'x'; }")
    page.locator("#confirm-cancel").click()
    expect(page.locator("#refusal")).to_be_visible()


def without_cookies(page: Page) -> None:
    page.context.clear_cookies()
    guess(page)
    expect(page.locator("h1")).to_have_text("This page was out of date.")


def guess(page: Page) -> None:
    page.locator("#username").fill("nobody-of-that-name")
    page.locator("#password").fill("x")
    page.locator("#log-in").click()


def locked_out(page: Page) -> None:
    while page.locator("#log-in").count():
        with page.expect_navigation():  # or the form is counted between two documents
            guess(page)
    expect(page.locator("h1")).to_have_text("Too many attempts.")


def failed(page: Page) -> None:
    """No request is known to make it: the page itself, as it would be sent."""
    body = render_to_string("500.html")
    page.route("**/fails/", lambda route: route.fulfill(status=500, body=body, content_type="text/html"))
    page.goto("/fails/")


def key_made(page: Page) -> None:
    page.locator("#name").fill("axe")
    page.locator("#make-key").click()
    expect(page.locator("#api-key")).to_be_visible()


def invited(page: Page) -> None:
    page.locator("#username").fill("axe-invited")
    page.locator("#make-link").click()
    page.goto(page.locator("#invite-link").inner_text())


PAGES |= {
    "two versions": ("admin", "/templates/changed/", overtaken),
    "preview again": ("operator", "/bulk/new/?token=axe-waiting", tampered),
    "not allowed": ("viewer", "/keys/", None),
    "only forms": ("viewer", "/environment/", None),
    "out of date": (None, "/login/", without_cookies),
    "too many attempts": (None, "/login/", locked_out),
    "failure": (None, "/login/", failed),
    "key made": ("admin", "/keys/", key_made),
    "invited": ("admin", "/users/", invited),
}
EXPECTED = {
    "not found": 404, "many": 422, "refused": 422, "invoke": 422, "two versions": 412, "preview again": 412,
    "not allowed": 403, "only forms": 405, "out of date": 403, "too many attempts": 429, "failure": 500,
}  # fmt: skip


BY_DEFAULT = {"overview", "logs and menu", "waiting", "editor"}


@pytest.mark.parametrize(
    "name", [name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in PAGES]
)
def test_axe_finds_nothing(page: Page, product: Product, complaints: list[str], name: str) -> None:
    role, address, prepare = PAGES[name]
    runs = scene(product)
    if role:
        enter(page, product, role)
    page.goto(address.format(**runs))
    if prepare:
        prepare(page)
    found = violations(page, "light", {})
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    found += violations(page, "dark", COLOURS)
    page.set_viewport_size({"width": 390, "height": 844})
    found += violations(page, "390 px", WIDTH)
    page.set_viewport_size({"width": 320, "height": 640})
    width = page.evaluate("() => document.documentElement.scrollWidth")
    if name == "environments":  # others have the same session
        page.goto("/environments/")
        with page.expect_navigation():
            page.click("#look-production")
    assert found == []
    assert width == 320
    if name in EXPECTED:
        assert [f"status of {EXPECTED[name]} " in said for said in complaints] == [True]
        complaints.clear()


def violations(page: Page, look: str, options: Mapping[str, Any]) -> list[str]:
    answer = AXE.run(page, options=dict(options)).response
    return [
        f"{look}: {fault['id']} at {node['target']}: {node['failureSummary']}"
        for fault in answer["violations"] for node in fault["nodes"]
    ]  # fmt: skip


def test_the_scene_holds_a_run_of_each_look(product: Product) -> None:
    assert {name: status(product, run) for name, run in scene(product).items()} == {
        name: name for name in ("waiting", "cancelled", "failed", "completed")
    }
