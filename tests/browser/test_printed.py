"""Every curl that the documentation prints is run as it stands on its page, and is answered with 2xx."""

from __future__ import annotations

import os
import shutil
import subprocess

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser.visitors import DELAY, enter
from tests.live import Product


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")
def test_every_curl_of_the_docs_is_answered_with_2xx(page: Page, product: Product) -> None:
    enter(page, product, "viewer")
    page.goto("/docs/")
    pages = page.locator(".shelf a").evaluate_all("(links) => links.map((link) => link.getAttribute('href'))")
    key = key_of_test(product, "read,invoke,cancel,write,admin")
    with httpx.Client(base_url=product.url, headers={"Authorization": f"Bearer {key}"}) as api:
        reminder = {"key": "onboarding-reminder", "name": "Onboarding", "definition": {"steps": [DELAY]}}
        api.post("/api/v1/automations", json=reminder).raise_for_status()
        api.post("/api/v1/automations/onboarding-reminder/publish").raise_for_status()
    answers = []
    pages.remove("/docs/migrating/")  # tests/test_docs.py runs its samples, with each vendor's own keys
    for address in pages:
        page.goto(address)
        for code in page.locator("article pre").all_inner_texts():
            if code.startswith("curl") and "<" not in code:  # no gap to be filled in
                script = f"{code.strip()} -sS -o /dev/null -w '%{{http_code}}'"
                done = subprocess.run(
                    ["bash", "-c", script],
                    env={**os.environ, "COUNTERMAND_KEY": key},
                    capture_output=True,
                    text=True,
                )
                answers.append((address, code.split()[3], done.stdout))
    assert len(answers) >= 6
    assert [answer for answer in answers if not answer[2].startswith("2")] == []


def key_of_test(product: Product, scopes: str) -> str:
    """A key of the environment in which nobody else has made what the samples make."""
    return product.manage("create_api_key", scopes, "--scopes", scopes, "--environment", "test")
