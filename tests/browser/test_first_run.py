"""What a newcomer does on the first day, from the code in the terminal to a run that is called off."""

from __future__ import annotations

import re
import shlex
import subprocess
from urllib.parse import quote

from playwright.sync_api import Page, expect

from tests.browser.visitors import send_everybody_away
from tests.live import Product
from tests.people import PASSWORD

# What Chromium says about the one form that was sent with a slip in it.
REFUSED = "Failed to load resource: the server responded with a status of 422 (Unprocessable Entity)"
DEFINITION = """{"steps": [
  {"action": "send", "message": {"content": {"title": "Welcome", "body": "Good to have you, {{data.user_id}}."}}},
  {"action": "delay", "duration": "1 day"},
  {"action": "send", "message": {"content": {"title": "Still there?", "body": "One step left."}}}
]}"""


def test_from_the_code_in_the_terminal_to_a_run_called_off(
    page: Page, product: Product, complaints: list[str]
) -> None:
    curl = set_up(page, send_everybody_away(product))
    log_out_and_in(page)
    publish(page)
    run = invoked_by(curl.replace("onboarding-reminder", "day-one").replace("user_123", "u1"))
    find(page, run)
    call_off(page, run)
    assert complaints == [REFUSED]
    complaints.clear()


def set_up(page: Page, link: str) -> str:
    """The curl that the page offers to invoke with."""
    page.goto("/")
    expect(page).to_have_url(re.compile(r"/setup/$"))
    page.goto(link)
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are set up")
    expect(page.locator("#api-key")).to_have_text(re.compile(r"^cm_production_\w{8}_\w{43}$"))
    page.get_by_role("button", name="Copy").first.click()
    return page.locator("#curl-invoke").inner_text()


def log_out_and_in(page: Page) -> None:
    page.goto("/logs/")
    page.locator("#person-name").click()
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile(r"/login/$"))
    page.goto("/templates/")
    page.locator("[name=username]").fill("ana")
    page.locator("[name=password]").fill("not that one")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#login-errors")).to_have_text("This username and password do not belong together.")
    page.locator("[name=username]").fill("ana")
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(r"/templates/$"))


def publish(page: Page) -> None:
    """By way of a token that all runs would share, which the preview warns of, and of a slip in the JSON."""
    page.get_by_role("link", name="Create automation").click()
    page.get_by_label("Name", exact=True).fill("Day one")
    page.get_by_label("Key", exact=True).fill("day-one")
    page.get_by_role("button", name="Create draft").click()
    page.get_by_role("link", name="JSON").click()
    page.locator("#definition").fill(DEFINITION.replace('"1 day"},', '"1 day"}'))
    page.get_by_role("button", name="Save draft").click()
    expect(page.locator("#definition-errors")).to_have_text(
        "Line 4, column 3: a comma is missing here, or a bracket before it"
    )
    page.locator("#definition").fill(DEFINITION)
    page.get_by_role("button", name="Save draft").click()
    write_token(page)
    page.get_by_role("link", name="Publish…").click()
    page.get_by_role("button", name="Publish version 1").click()
    expect(page.locator("#toast")).to_contain_text("Published as version 1.")
    expect(page.locator("#standing")).to_have_text("Published · v1")


def write_token(page: Page) -> None:
    page.get_by_role("link", name="Settings").click()
    preview = page.locator("#token-result")
    page.get_by_label("Expression").fill("day-one-refs.data.user_id")
    expect(preview).to_contain_text("one cancel would stop them all")
    preview.get_by_role("button", name="Use suggestion").click()
    expect(page.get_by_label("Expression")).to_have_value("${`day-one-${data.user_id}`}")
    expect(page.locator("#resolved-token")).to_have_text("day-one-user_123")
    expect(preview).to_contain_text("0 unfinished runs have this token now")
    page.locator("#sample_data").fill('{"user_id": "u7"}')
    expect(page.locator("#resolved-token")).to_have_text("day-one-u7")
    page.locator("#sample_data").fill("{}")
    expect(preview).to_contain_text("data.user_id")
    expect(preview).to_contain_text("An invoke with such data is refused.")
    page.get_by_role("button", name="Save settings").click()
    expect(page.locator("#toast")).to_contain_text("Saved ")


def invoked_by(curl: str) -> str:
    done = subprocess.run(shlex.split(curl.replace("\\\n", " ")), capture_output=True, text=True, check=True)
    found = re.search(r'"runs":\s*\[\{"id":\s*"([0-9a-f-]{36})"', done.stdout)
    assert found is not None, done.stdout
    return found[1]


def find(page: Page, run: str) -> None:
    """By token, by source, by the beginning of the id, by the id."""
    page.goto("/logs/")
    row = page.locator(f"#row-{run}")
    expect(row).to_contain_text("Waiting · step 2 Delay")
    search = page.locator("input[name=q]")
    search.fill("nothing like it")
    expect(page.locator(".empty")).to_contain_text("No run matches.")
    for text in ("day-one-u1", "api/default", "source:api/def", run[:18]):
        search.fill(text)
        expect(page).to_have_url(re.compile(f"/logs/\\?q={re.escape(quote(text, safe=''))}$"))
        expect(row).to_contain_text("day-one-u1")
    search.fill(run)
    expect(page).to_have_url(re.compile(rf"/logs/{run}/$"))


def call_off(page: Page, run: str) -> None:
    main = page.locator("main")
    expect(main.locator(".message")).to_contain_text("Good to have you, u1.")
    page.get_by_role("button", name="Cancel run").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".prospects li")).to_have_text(
        ["Step 3 Send will not run.", "Step 1 Send already ran and is not undone."]
    )
    dialog.get_by_label("Reason").fill("signed up elsewhere")
    dialog.get_by_role("button").last.click()
    expect(main.locator(".standing")).to_have_text("Cancelled")
    expect(main.locator("#called-off")).to_contain_text("by ana from the browser: “signed up elsewhere”")
    expect(main.locator("#called-off")).to_contain_text("no further step of this run will start")
    expect(page.locator("#toast")).to_contain_text("by ana. No further step of this run will start.")
    expect(page.get_by_role("button", name="Cancel run")).to_have_count(0)
    expect(main.locator(".timeline .cancelled .at")).to_have_text(["prevented", "prevented"])
    page.goto("/logs/?status=cancelled")
    expect(page.locator(f"#row-{run} .badge + small")).to_have_text("by ana · browser")
