"""What the editor and the invoke page say beforehand is what happens, and what is wrong is found where it is."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitors import DELAY, SEND, enter, template
from tests.live import Product

DATA = {"user_id": "u7", "flow": "trial", "n": 9007199254740993}
PROFILE = {"account": {"id": 7}}
# The forms that docs/expressions.md and the vendors' pages show, and what they give.
FORMS = {
    "the-same-for-all": "the-same-for-all",
    "refs.data.user_id": "u7",
    "refs.profile.account.id": "7",
    "onboarding-{{data.user_id}}": "onboarding-u7",
    "{{refs.recipient}}/{{data.flow}}": "r1/trial",
    "${`onboarding-${data.user_id}`}": "onboarding-u7",
    "${`${data.flow}-${data.user_id}`}": "trial-u7",
    "${'user-' + data.n}": "user-9007199254740993",
    "${data.plan ?? refs.template}": "tester",
}

# Previews that another page of this person asks for, beyond what a second allows.
OTHERS = """() => {
  const body = new FormData(document.querySelector("main form"));
  return Promise.all(Array.from({length: 5}, () => fetch("token-preview", {method: "POST", body})));
}"""


@pytest.mark.slow
def test_the_tester_shows_the_token_that_the_run_gets(page: Page, product: Product) -> None:
    template(product, "tester", DELAY)
    enter(page, product, "admin")
    page.goto("/templates/tester/settings")
    page.locator("#sample_data").fill(json.dumps(DATA))
    page.locator("#sample_profile").fill(json.dumps(PROFILE))
    page.locator("#sample_recipient").fill("r1")
    for expression, token in FORMS.items():
        page.locator("#f-cancellation-token").fill(expression)
        expect(page.locator("#resolved-token"), expression).to_have_text(token)
    body = {"automation": "tester", "data": DATA, "profile": PROFILE, "recipients": [{"id": "r1"}]}
    stored = {}
    for expression in FORMS:
        definition = {"steps": [DELAY], "cancellation_token": expression}
        product.http.put("automations/tester/draft", json={"definition": definition}).raise_for_status()
        product.http.post("automations/tester/publish", json={}).raise_for_status()
        accepted = product.http.post("invocations", content=json.dumps(body)).raise_for_status().json()
        run = product.http.get(f"runs/{accepted['runs'][0]['id']}").json()
        stored[expression] = run["cancellation_token"]
    assert stored == FORMS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tab", "field", "typed"),
    [("settings", "#f-cancellation-token", "quick-{}"), ("invoke", "#sample_data", '{{"user_id": "{}"}}')],
)
def test_a_preview_asked_for_too_fast_comes_a_moment_later(
    page: Page, product: Product, complaints: list[str], tab: str, field: str, typed: str
) -> None:
    template(product, f"hasty-{tab}", DELAY, token="quick-{{data.user_id}}")
    enter(page, product, "admin")
    page.goto(f"/templates/hasty-{tab}/{tab}")
    asked: list[int] = []
    page.on("response", lambda got: asked.append(got.status) if "hx-request" in got.request.headers else None)
    for number in range(20):
        page.evaluate(OTHERS)
        page.locator(field).fill(typed.format(number))
        expect(page.locator("#resolved-token")).to_have_text(f"quick-{number}")
        if 429 in asked:
            break
    assert asked[-2:] == [429, 200]
    complaints.clear()


@pytest.mark.slow
def test_a_wrong_expression_is_not_published_and_the_way_leads_to_its_field(
    page: Page, product: Product
) -> None:
    template(product, "wrong", DELAY, SEND, token="right-{{data.user_id}}")
    enter(page, product, "admin")
    page.goto("/templates/wrong/settings")
    page.locator("#f-cancellation-token").fill("${`wrong-${data.user_id`}")
    expect(page.locator("#token-result .error")).to_contain_text("No token: ")
    page.locator("#save").click()
    page.locator("#to-publish").click()
    expect(page.locator("#problems")).to_contain_text("This draft cannot be published yet.")
    expect(page.locator("#confirm-publish")).to_have_count(0)
    page.locator("#problems a").press("Enter")
    field = page.locator("#f-cancellation-token")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#said-f-cancellation-token")).not_to_be_empty()
    field.fill("right-{{data.user_id}}")
    page.locator("#save").click()
    page.goto("/templates/wrong/steps/0")
    page.locator("#f-duration").fill("soon")
    page.locator("#f-duration").press("Tab")
    expect(page.locator("#said-f-duration")).not_to_be_empty()
    page.goto("/templates/wrong/publish")
    page.locator("#problems a").press("Enter")
    expect(page.locator("#f-duration")).to_be_focused()
    assert product.http.get("automations/wrong").json()["published_version"] == 1


def test_what_is_no_json_is_said_with_line_and_column_at_the_field(
    page: Page, product: Product, complaints: list[str]
) -> None:
    template(product, "typed", DELAY)
    enter(page, product, "operator")
    page.goto("/templates/typed/invoke")
    page.locator("#sample_data").fill('{"user_id": "u1",\n "plan" "free"}')
    page.locator("#send").press("Enter")
    expect(page.locator("#sample_data-errors")).to_contain_text("Line 2, column 9")
    expect(page.locator("#sample_data")).to_be_focused()
    expect(page.locator("#sample_data")).to_have_value('{"user_id": "u1",\n "plan" "free"}')
    assert product.http.get("runs", params={"automation": "typed"}).json()["items"] == []
    assert len(complaints) == 1
    complaints.clear()


@pytest.mark.slow
def test_the_difference_says_what_was_removed_added_and_moved(page: Page, product: Product) -> None:
    def hours(number: int) -> dict[str, str]:
        return {"action": "delay", "duration": f"{number} hours"}

    template(product, "differs", SEND, hours(1), hours(2), token="a-{{data.user_id}}")
    told = {"action": "update-profile", "profile": {"told": True}}
    now = {"steps": [hours(2), SEND, told], "cancellation_token": "b-{{data.user_id}}"}
    product.http.put("automations/differs/draft", json={"definition": now}).raise_for_status()
    enter(page, product, "admin")
    page.goto("/templates/differs/publish")
    expect(page.locator("#token-change .warning")).to_contain_text("Runs already started keep their token")
    expect(page.locator(".changes > .removed")).to_contain_text("1 hours")
    expect(page.locator(".changes > .added")).to_contain_text("added")
    expect(page.locator(".changes > .moved")).to_contain_text(re.compile("moved from . to ."))
    page.locator("#note").fill("as agreed")
    page.locator("#confirm-publish").click()
    page.locator("#tab-versions").click()
    expect(page.locator("#version-2")).to_contain_text("as agreed")
    page.locator("#restore-1").click()
    expect(page.locator("#standing")).to_have_text("Draft changes · v2 live")
    steps = product.http.get("automations/differs").json()["draft"]["definition"]["steps"]
    assert [step["action"] for step in steps] == ["send", "delay", "delay"]
