"""What every page tells the browser to refuse, to forget and to keep apart."""

from __future__ import annotations

import pytest

from tests.pages import read
from tests.people import client, person

pytestmark = pytest.mark.django_db
POLICY = {
    "default-src 'self'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "object-src 'none'",
    "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'",
}  # fmt: skip


@pytest.mark.parametrize("address", ["/login/", "/logs/", "/templates/", "/templates/new/", "/nothing/"])
def test_the_headers_of_a_page(address: str) -> None:
    person("admin")
    answer = client(None if address == "/login/" else "admin").get(address)
    assert set(answer["Content-Security-Policy"].split("; ")) == POLICY
    assert "HX-Request" in answer["Vary"].split(", ")
    assert "no-store" in answer["Cache-Control"]
    headers = ("X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy")
    assert [answer[name] for name in headers] == ["DENY", "nosniff", "same-origin", "same-origin"]


def test_the_apis_are_not_touched() -> None:
    answer = client().get("/healthz")
    assert answer.status_code == 200
    assert "HX-Request" not in answer.get("Vary", "")


def test_a_page_that_is_not_there_says_so_in_words() -> None:
    answer = client("viewer").get("/nothing/")
    assert answer.status_code == 404
    assert read(answer).one(".refusal").text == (
        "404 There is nothing at this address. It may belong to another environment than production,"
        " or never have existed. Back to the logs"
    )
    part = client("viewer").get("/nothing/", headers={"HX-Request": "true"})
    assert [child.tag for child in read(part).all("p")] == ["p"]
    assert read(part).all("html") == []


def test_an_address_that_only_takes_forms_says_so_in_words() -> None:
    answer = client("viewer").get("/environment/")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert read(answer).one("h1").text == "There is no page at this address."
    assert client("viewer").put("/api/v1/runs").headers["Content-Type"] == "application/problem+json"


def test_the_page_of_a_failure_needs_nothing_that_could_fail_again() -> None:
    from django.template.loader import get_template

    template = get_template("500.html")
    assert "Something went wrong here." in template.render()


def test_nothing_on_a_page_comes_from_elsewhere() -> None:
    for address in ("/logs/", "/templates/new/"):
        page = read(client("admin").get(address))
        sources = [element["src"] for element in page.all("script")] + [
            link["href"] for link in page.all("link")
        ]
        assert [source for source in sources if not source.startswith("/static/")] == []
        assert [script.text for script in page.all("script")] == [""] * 2


def test_pages_and_static_files_are_sent_compressed_and_the_apis_are_not() -> None:
    zipped = {"Accept-Encoding": "gzip, br"}
    for address in ("/logs/", "/static/css/app.css"):
        answer = client("viewer").get(address, headers=zipped)
        assert answer["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in answer["Vary"]
        body = answer.getvalue() if answer.streaming else answer.content
        plain = client("viewer").get(address)
        whole = plain.getvalue() if plain.streaming else plain.content
        assert len(body) < len(whole) / 2
        assert not plain.has_header("Content-Encoding")
    assert not client().get("/api/v1/nothing", headers=zipped).has_header("Content-Encoding")
