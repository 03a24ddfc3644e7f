"""The documentation inside: every document, its samples, and where its links lead."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from automations.definition import ACTIONS, parse
from automations.views.documents import TITLES, Pages, read_document
from tests.pages import read
from tests.people import client

ROOT = Path(__file__).resolve().parent.parent.parent
TOLD = {
    slug: (ROOT / "docs" / f"{slug}.md").read_text().partition("\n")[0].removeprefix("# ") for slug in TITLES
}
STEPS = (ROOT / "docs" / "steps.md").read_text()


@pytest.mark.django_db
@pytest.mark.parametrize("slug", TITLES)
def test_a_document_is_a_page_whose_links_lead_somewhere(slug: str) -> None:
    browser = client("viewer")
    page = read(browser.get(f"/docs/{slug}/"))
    article = page.one("article")
    (heading,) = article.all("h1")
    assert heading.text == TOLD[slug]
    anchors = {element["id"] for element in page.all("[id]")}
    for link in article.all("a") + page.all(".contents")[0].all("a"):
        address, _, anchor = link["href"].partition("#")
        if address.startswith("https://"):
            continue
        shown = anchors if not address else {one["id"] for one in read(browser.get(address)).all("[id]")}
        assert not anchor or anchor in shown, link["href"]
    names = set(re.findall(r"\$([A-Z_]{3,})", article.text))
    assert names - {"DATABASE_URL"} <= ({"COUNTERMAND_KEY"} if slug != "migrating" else names)


@pytest.mark.django_db
def test_the_samples_name_this_server_and_nothing_else_is_a_document() -> None:
    page = client("viewer").get("/docs/api/", headers={"Host": "localhost"})
    assert "curl -X POST http://localhost/api/v1/invocations" in read(page).one("article").text
    for slug in ("architecture", "0001-records-and-one-door", "..", "nothing"):
        assert client("viewer").get(f"/docs/{slug}/").status_code == 404


@pytest.mark.parametrize("slug", TITLES)
def test_a_document_has_one_title_which_is_text(slug: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", (ROOT / "docs" / f"{slug}.md").read_text(), flags=re.M | re.S)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    assert "<" not in read_document(slug).title


def test_marks_in_a_title_are_left_out() -> None:
    renderer = Pages()
    assert renderer.heading("About <code>on_cancel</code>", 1) == ""
    assert renderer.title == "About on_cancel"


def test_every_action_is_explained_with_samples_that_can_be_run() -> None:
    explained = dict(re.findall(r"^## ([a-z-]+)$(.*?)(?=^## )", STEPS, re.MULTILINE | re.DOTALL))
    assert set(explained) == set(ACTIONS)
    for action, text in explained.items():
        samples = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        steps = [json.loads(sample) for sample in samples]
        assert {step["action"] for step in steps} == {action}
        parse({"steps": steps})
    (whole,) = re.findall(r"^```json\n(\{\n.*?)^```$", STEPS, re.MULTILINE | re.DOTALL)
    assert len(parse(json.loads(whole)).steps) == 3


@pytest.mark.django_db
def test_the_api_reference_is_linked() -> None:
    browser = client("viewer")
    for address in ("/docs/", "/docs/api/"):
        link = read(browser.get(address)).one("#to-reference")
        assert (link["href"], link.text) == ("/api/docs", "API reference")
    assert browser.get("/api/docs").status_code == 200
