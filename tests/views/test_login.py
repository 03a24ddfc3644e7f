"""Logging in and out: one answer for every mistake, and an end to guessing."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.pages import read
from tests.people import PASSWORD, client, person

pytestmark = pytest.mark.django_db
WRONG = "This username and password do not belong together."


def attempt(browser: Client, **changes: str) -> Any:
    return browser.post("/login/", {"username": "vera", "password": PASSWORD, **changes})


def test_the_right_password_leads_to_the_overview_or_where_one_came_from() -> None:
    person("viewer")
    assert attempt(client())["Location"] == "/"
    assert attempt(client(), next="/templates/?a=b")["Location"] == "/templates/?a=b"
    assert attempt(client(), next="https://evil.example/")["Location"] == "/"


@pytest.mark.parametrize(
    "changes",
    [{"password": "wrong"}, {"username": "nobody"}, {"username": "VERA"}, {"password": PASSWORD + " "}],
)
def test_every_mistake_is_answered_alike(changes: dict[str, str]) -> None:
    person("viewer")
    answer = attempt(client(), **changes)
    assert read(answer).one("#login-errors").text == WRONG
    assert PASSWORD not in answer.content.decode()


def test_a_deactivated_person_is_told_no_more_than_a_stranger() -> None:
    vera = person("viewer")
    vera.is_active = False
    vera.save()
    assert read(attempt(client())).one("#login-errors").text == WRONG


def test_guessing_is_stopped_and_then_the_right_password_too() -> None:
    person("viewer")
    person("operator")
    browser = client()
    assert [attempt(browser, password="wrong").status_code for _ in range(11)] == [200] * 9 + [429] * 2
    blocked = attempt(browser)
    assert blocked.status_code == 429
    assert read(blocked).one(".refusal").text == (
        "429 Too many attempts. For your safety nothing more is tried for 15 minutes, not even with the right"
        " password. Then try again. Back to the logs"
    )
    assert browser.get("/logs/").status_code == 302
    assert attempt(client(), username="otto").status_code == 302


def test_logging_out_ends_the_session() -> None:
    browser = client("viewer")
    assert browser.get("/logout/").status_code == 405
    assert browser.get("/logs/").status_code == 200
    assert browser.post("/logout/")["Location"] == "/login/"
    assert browser.get("/logs/").status_code == 302


@pytest.mark.parametrize("changes", [{"username": "a\0b"}, {"password": "a\0b"}, {"username": "x" * 5000}])
def test_nonsense_is_a_mistake_like_any_other(changes: dict[str, str]) -> None:
    person("viewer")
    assert attempt(client(), **changes).status_code == 200
