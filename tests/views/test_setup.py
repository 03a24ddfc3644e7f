"""The first run: one code, one admin, one key shown once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from automations.models import ApiKey, User, database_now
from tests.pages import read
from tests.people import PASSWORD, client, person

pytestmark = pytest.mark.django_db
SIGNS = "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters."
CODE = "k3-one_TIME-code"


@pytest.fixture
def code(settings: Any, tmp_path: Path) -> Path:
    """The file that `manage.py up` leaves."""
    settings.COUNTERMAND_DATA = tmp_path
    file = tmp_path / "setup_code"
    file.write_text(f"{CODE}\n")
    return file


def send(browser: Client, **changes: str) -> Any:
    return browser.post("/setup/", {"code": CODE, "username": "ana", "password": PASSWORD, **changes})


def test_the_code_in_the_link_stands_in_the_field(code: Path) -> None:
    page = read(client().get(f"/setup/?code={CODE}"))
    assert page.one("#code")["value"] == CODE
    assert page.one("h1").text == "Make the first account"


def test_the_right_code_makes_an_admin_and_shows_a_key_once(code: Path) -> None:
    browser = client()
    answer = send(browser)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    page = read(answer)
    text = page.one("#api-key").text
    user = User.objects.get()
    assert (user.username, user.role, user.check_password(PASSWORD)) == ("ana", "admin", True)
    assert ApiKey.objects.matching(text=text, now=database_now()) is not None
    key = ApiKey.objects.get()
    assert (key.name, key.environment.key, key.scopes, key.created_by) == (
        "default", "production", ["read", "invoke", "cancel", "write"], "user/ana",
    )  # fmt: skip
    assert f"Authorization: Bearer {text}" in page.one("#curl-invoke").text
    assert "http://testserver/api/v1/invocations" in page.one("#curl-invoke").text
    assert not code.exists()
    assert browser.get("/logs/").status_code == 200
    secret = text.rpartition("_")[2].encode()
    assert [secret in browser.get(address).content for address in ("/logs/", "/templates/")] == [False, False]


def test_afterwards_there_is_no_set_up(code: Path) -> None:
    send(client())
    assert client().get("/setup/").status_code == 404
    code.write_text(CODE)
    assert send(client(), username="eve").status_code == 404
    assert User.objects.count() == 1
    assert client().get("/")["Location"] == "/login/?next=%2F"


def errors(answer: Any, field: str) -> list[str]:
    return read(answer).one(f"#{field}-errors").texts("li")


@pytest.mark.parametrize("wrong", ["k3-one_TIME-cod", "K3-ONE_TIME-CODE", "ü", "x" * 200])
def test_a_wrong_code_is_refused_in_words(code: Path, wrong: str) -> None:
    answer = send(client(), code=wrong)
    assert answer.status_code == 422
    assert errors(answer, "code") == ["This is not the code. It is printed in the terminal by manage.py up."]
    assert (User.objects.count(), ApiKey.objects.count()) == (0, 0)


@pytest.mark.parametrize("typed", ["", " ", "\n"])
def test_where_there_is_no_code_nothing_equals_it(code: Path, typed: str) -> None:
    code.unlink()
    answer = send(client(), code=typed)
    assert errors(answer, "code") == ["This field is required."]
    assert read(client().get("/setup/")).one(".error").text.startswith("There is no code yet.")
    assert User.objects.count() == 0


def test_wrong_codes_are_throttled_and_then_the_right_one_too(code: Path) -> None:
    browser = client()
    assert [send(browser, code="x").status_code for _ in range(11)] == [422] * 10 + [429]
    blocked = send(browser)
    assert blocked.status_code == 429
    assert read(blocked).one("h1").text == "Too many attempts."
    assert User.objects.count() == 0
    assert send(client(REMOTE_ADDR="10.0.0.9")).status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("password", "short", "This password is too short. It must contain at least 12 characters."),
        ("password", "password1234", "This password is too common."),
        ("password", "anastasia-ana", "The password is too similar to the username."),
        ("username", "", "This field is required."),
        ("username", "a b", SIGNS),
        ("username", "x" * 151, "Ensure this value has at most 150 characters (it has 151)."),
        ("username", "a\0", "Null characters are not allowed."),
    ],
)  # fmt: skip
def test_a_name_or_password_that_will_not_do_is_refused_at_its_field(
    code: Path, field: str, value: str, said: str
) -> None:
    changes = {"username": "anastasia", field: value} if field == "password" else {field: value}
    answer = send(client(), **changes)
    assert answer.status_code == 422
    assert said in errors(answer, field)
    assert User.objects.count() == 0
    assert read(answer).one("#password").attributes.get("value") is None


def test_it_is_not_there_for_those_who_are_logged_in() -> None:
    assert client("admin").get("/setup/").status_code == 404
    assert person("admin").username == "ana"
