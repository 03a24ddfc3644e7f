"""Whatever a browser sends, a page answers in words and never with a fault of its own."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.people import client
from tests.scenes import DELAY, invoke, publish, run_of

pytestmark = pytest.mark.django_db
EVIL = [
    "\0", "a\0b", "\ufffe\U0010ffff", "\ud7ff", "'; DROP TABLE automations_run; --", "%_\\", "../../etc/passwd",
    "{{7*7}}{% debug %}", "<svg onload=alert(1)>", "\u202e\u200b", "A" * 10_000, "9" * 400, "-1", "1e309",
    "${while(1){}}",     '"', "token:", 'token:"', "source:a" * 50, "\r\nSet-Cookie: a=b",
]  # fmt: skip
# The first five are fields of the form of a new one.
FIELDS = (
    "name", "key", "alias", "description", "sample", "cancellation_token", "definition", "on_unresolved_token",
    "note", "sample_data", "sample_profile", "sample_recipient", "idempotency_key", "base", "order", "number",
    "cancel_on", "concurrency.key", "duration", "retry.max_attempts", "if", "id", "mode", "overdue", "running",
    "revision", "reason", "scope", "on", "environment", "theme", "zone", "next", "username", "password", "code",
)  # fmt: skip


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_no_query_makes_the_list_fail(evil: str) -> None:
    invoke(DELAY)
    browser = client("admin")
    names = ("q", "status", "automation", "started", "before", "tag")
    assert [browser.get("/logs/", {name: evil}).status_code for name in names] == [200] * 6
    assert browser.get("/logs/", dict.fromkeys(names, evil)).status_code == 200
    publish("one", {"steps": [DELAY]})
    assert browser.get("/templates/", {"q": evil, "status": evil}).status_code == 200
    for address, name in (("settings", "run"), ("versions", "from")):
        assert browser.get(f"/templates/one/{address}", {name: evil}).status_code in (200, 404)


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_no_address_makes_a_page_fail(evil: str) -> None:
    publish("one", {"steps": [DELAY]})
    browser = client("admin")
    for address in ("/templates/%s/", "/logs/%s/", "/logs/%s/cancel/", "/%s"):
        assert browser.get(address % quote(evil, safe="")).status_code == 404


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_no_field_makes_a_form_fail(evil: str) -> None:
    publish("one", {"steps": [DELAY]})
    run = run_of(invoke(DELAY, token="t"))
    browser = client("admin")
    fields = dict.fromkeys(FIELDS, evil) | {"revision": "1"}
    editor = ["", "steps/0", "json", "settings", "token-preview", "versions", "publish", "disable", "invoke"]
    posts = ("/templates/new/", *(f"/templates/one/{name}" for name in editor), f"/logs/{run.uid}/cancel/",
             "/environment/", "/preferences/")  # fmt: skip
    asked = [(address, evil) for address in posts] + [("/templates/one/invoke", "preview")]
    assert max(browser.post(address, {**fields, "do": do}).status_code for address, do in asked) < 500
    one_by_one = [
        browser.post("/templates/new/", {"name": "N", "key": "new-one", name: evil}).status_code
        for name in FIELDS[:5]
    ]
    assert max(one_by_one) < 500
    assert client().post("/login/", fields).status_code in (200, 429)
