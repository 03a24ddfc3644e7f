"""API keys made, rolled over and revoked in the browser."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from automations.models import ApiKey, Environment, database_now
from tests.pages import read
from tests.people import client
from tests.scenes import production

pytestmark = pytest.mark.django_db
NEW = {"name": "backend", "scopes": ["read", "cancel"], "expires": ""}


def is_live(text: str) -> bool:
    return ApiKey.objects.matching(text=text, now=database_now()) is not None


def made(browser: Client, **changes: Any) -> str:
    answer = browser.post("/keys/", {**NEW, **changes})
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    return read(answer).one("#api-key").text


def test_a_key_is_shown_once() -> None:
    browser = client("admin")
    text = made(browser)
    key = ApiKey.objects.get()
    assert is_live(text)
    assert (key.name, key.scopes, key.created_by, key.expires_at) == (
        "backend",
        ["read", "cancel"],
        "user/ana",
        None,
    )
    page = browser.get("/keys/")
    assert key.public_id.encode() in page.content
    assert text.rpartition("_")[2].encode() not in page.content
    assert read(page).one(f"#row-{key.public_id}").texts("td")[1] == "read, cancel"
    assert client().get("/api/v1/runs", headers={"Authorization": f"Bearer {text}"}).status_code == 200
    assert read(browser.get("/keys/")).one(f"#row-{key.public_id}").texts("td")[3] == ("now from 127.0.0.1")


def test_a_key_may_have_an_end() -> None:
    made(client("admin"), expires="30d")
    end = ApiKey.objects.get().expires_at
    assert end is not None
    assert abs(end - database_now() - timedelta(days=30)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("changes", "name"), [({"name": ""}, "name"), ({"name": "a\u0007b"}, "name"), ({"scopes": []}, "scopes")]
)
def test_what_is_wrong_is_said_at_its_field(changes: dict[str, Any], name: str) -> None:
    answer = client("admin").post("/keys/", {**NEW, **changes})
    assert answer.status_code == 422
    assert read(answer).one(f"#{name}-errors").text
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(("keep", "lives"), [("0", False), ("24h", True)])
def test_rolling_gives_a_new_key_and_ends_the_old_one_when_asked(keep: str, lives: bool) -> None:
    browser = client("admin")
    old = made(browser)
    key = ApiKey.objects.get()
    answer = browser.post(f"/keys/{key.public_id}/roll/", {"keep": keep})
    new = read(answer).one("#api-key").text
    assert [is_live(new), is_live(old)] == [True, lives]
    assert ApiKey.objects.latest("pk").scopes == key.scopes
    assert browser.post(f"/keys/{key.public_id}/roll/", {"keep": "2y"}).status_code == 422


def test_what_is_rolled_signs_as_the_old_one_did_and_says_its_workspace_key() -> None:
    browser = client("admin")
    made(browser)
    plain = ApiKey.objects.get()
    rolled = read(browser.post(f"/keys/{plain.public_id}/roll/", {"keep": "0"}))
    assert (ApiKey.objects.latest("pk").signing_text, rolled.all("#workspace-key")) == (None, [])
    key, _ = ApiKey.objects.issue(
        environment=production(), name="shop", scopes=("invoke",), created_by="command", signs=True
    )
    rolled = read(browser.post(f"/keys/{key.public_id}/roll/", {"keep": "0"}))
    new = ApiKey.objects.latest("pk")
    assert (new.name, new.signing_text) == ("shop", rolled.one("#api-key").text)
    assert rolled.one("#workspace-key").text == f"ws_{new.public_id}" != key.workspace


def test_a_key_is_revoked_by_typing_its_name() -> None:
    browser = client("admin")
    text = made(browser)
    key = ApiKey.objects.get()
    refused = browser.post(f"/keys/{key.public_id}/revoke/", {"name": "backen"})
    assert (refused.status_code, is_live(text)) == (422, True)
    assert read(refused).one("#revoke-errors").text == "Type “backend” to revoke this key."
    assert browser.post(f"/keys/{key.public_id}/revoke/", {"name": "backend"}).status_code == 302
    assert not is_live(text)
    assert client().get("/api/v1/runs", headers={"Authorization": f"Bearer {text}"}).status_code == 401
    row = read(browser.get("/keys/")).one(f"#row-{key.public_id}")
    assert row.texts("td")[4].startswith("revoked ")
    assert row.all("form") == []


def test_many_keys_are_shown_in_pages(django_assert_num_queries: Any) -> None:
    names = [f"key {number}" for number in range(52)]
    for name in names:
        ApiKey.objects.issue(environment=production(), name=name, scopes=("read",), created_by="user/ana")
    ApiKey.objects.filter(name="key 51").update(revoked_at=database_now())
    browser = client("admin")
    with django_assert_num_queries(4):  # with the session, the person and the environments
        first = read(browser.get("/keys/"))
    shown = [row.all("td")[0].text for row in first.all("[data-row]")]
    assert [text.partition(" cm_")[0] for text in shown] == [*reversed(names[2:51]), "key 51"]
    older = read(browser.get(f"/keys/{first.one('#older')['href'].removeprefix('/keys/')}"))
    assert len(older.all("[data-row]")) == 2


def test_keys_of_another_environment_are_not_there() -> None:
    elsewhere = Environment.objects.exclude(key="production").get()
    key, text = ApiKey.objects.issue(environment=elsewhere, name="x", scopes=("read",), created_by="")
    browser = client("admin")
    assert read(browser.get("/keys/")).all(f"#row-{key.public_id}") == []
    assert browser.post(f"/keys/{key.public_id}/revoke/", {"name": "x"}).status_code == 404
    assert is_live(text)
