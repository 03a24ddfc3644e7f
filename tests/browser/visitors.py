"""People in front of the browser: who they are, and how they get in without typing a password each time."""

from __future__ import annotations

import re
import time
from functools import cache
from typing import Any

import httpx
from playwright.sync_api import Page

from tests.live import Product
from tests.people import NAMES, PASSWORD

_CREATE = f"""
from automations.models import User
for role, name in {NAMES!r}.items():
    if not User.objects.filter(username=name).exists():
        User.objects.create_user(username=name, password={PASSWORD!r}, role=role)
"""


def enter(page: Page, product: Product, role: str) -> None:
    """The page's browser is logged in as a person of that role."""
    page.context.add_cookies([{"name": "sessionid", "value": session_of(product, role), "url": product.url}])


@cache
def make_people(product: Product) -> None:
    """Ana the admin, Otto the operator and Vera the viewer."""
    product.manage("shell", "--no-imports", "-c", _CREATE)


@cache
def session_of(product: Product, role: str) -> str:
    make_people(product)
    with httpx.Client(base_url=product.url) as browser:
        browser.get("/login/")
        fields = {
            "username": NAMES[role],
            "password": PASSWORD,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        answer = browser.post("/login/", data=fields, headers={"Referer": product.url})
        assert answer.status_code == 302
        return browser.cookies["sessionid"]


def send_everybody_away(product: Product) -> str:
    """As on the first day: nobody can log in, and the link that was printed makes the first account."""
    product.manage("shell", "-c", "from automations.models import User; User.objects.all().delete()")
    make_people.cache_clear()
    session_of.cache_clear()
    link = re.search(r"http://\S+/setup/\?code=\S+", product.log)
    assert link is not None
    return link[0]


def invoke(product: Product, **request: Any) -> str:
    """The id of the one run that the native API made of this request."""
    answer = product.http.post("invocations", json=request)
    assert answer.status_code == 201, answer.text
    (run,) = answer.json()["runs"]
    return str(run["id"])


def status(product: Product, run: str) -> str:
    return str(product.http.get(f"runs/{run}").json()["status"])


DELAY = {"action": "delay", "duration": "1 hour"}
SEND = {"action": "send", "message": {"content": {"title": "Hello", "body": "To {{data.user_id}}"}}}


def waiting_run(product: Product, *, token: str, source: str = "api/browser") -> str:
    """A run that has sent one message and waits an hour for the next."""
    definition = {"cancellation_token": token, "steps": [SEND, DELAY, SEND]}
    run = invoke(product, definition=definition, data={"user_id": "u1"}, source=source)
    until = time.monotonic() + 10
    while product.http.get(f"runs/{run}").json()["steps"][1]["status"] != "waiting":
        assert time.monotonic() < until
        time.sleep(0.02)
    return run


def template(product: Product, key: str, *steps: dict[str, Any], token: str = "") -> None:
    """A published automation of that key and these steps."""
    definition = {"steps": list(steps), **({"cancellation_token": token} if token else {})}
    body = {"key": key, "name": key, "definition": definition}
    product.http.post("automations", json=body).raise_for_status()
    product.http.post(f"automations/{key}/publish", json={}).raise_for_status()


def sign_out(page: Page) -> None:
    """As when the login has expired: the form's token is still good, the session is not."""
    page.context.clear_cookies(name="sessionid")
