"""The watch that fails a browser test: a console error, an uncaught exception, a refused script."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page


@pytest.mark.parametrize(
    ("kind", "provoke", "said"),
    [
        ("console", "() => console.error('a console error')", "a console error"),
        ("pageerror", "() => setTimeout(() => { throw new Error('an exception') })", "an exception"),
    ],
)
def test_errors_are_noted(page: Page, complaints: list[str], kind: str, provoke: str, said: str) -> None:
    page.goto("/login/")
    with page.expect_event(kind):
        page.evaluate(provoke)
    assert complaints == [said]
    complaints.clear()


def test_a_script_that_the_policy_refuses_is_noted(page: Page, complaints: list[str]) -> None:
    page.goto("/login/")
    with page.expect_event("console", lambda message: message.text.startswith("CSP ")):
        page.evaluate("""() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'it ran'";
            document.body.append(script);
        }""")
    assert "CSP script-src-elem inline" in complaints
    assert page.title() != "it ran"
    complaints.clear()
