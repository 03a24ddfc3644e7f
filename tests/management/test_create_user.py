"""`manage.py create_user`."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from automations.models import User

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"
SHORT = "This password is too short. It must contain at least 12 characters."


def create(monkeypatch: pytest.MonkeyPatch, *words: str, given: str = f"{PASSWORD}\n") -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    out = io.StringIO()
    call_command("create_user", *words, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_it_makes_a_person_of_that_role(monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    assert create(monkeypatch, "mia", "--role", role, "--password-stdin") == f"mia may log in, as {role}.\n"
    user = User.objects.get()
    assert (user.username, user.role, user.check_password(PASSWORD)) == ("mia", role, True)


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (("mia", "--role", "admin", "--password-stdin"), "short\n", SHORT),
        (("mia", "--role", "admin", "--password-stdin"), "", SHORT),
        (("m a", "--role", "admin", "--password-stdin"), f"{PASSWORD}\n",
         "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters."),
        (("mia", "--role", "admin"), "", "There is no terminal to ask for the password on: give --password-stdin."),
        (("mia", "--role", "owner", "--password-stdin"), "",
         "Error: argument --role: invalid choice: 'owner' (choose from 'viewer', 'operator', 'admin')"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_said(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], given: str, said: str
) -> None:
    with pytest.raises(CommandError) as refused:
        create(monkeypatch, *words, given=given)
    assert str(refused.value) == said
    assert User.objects.count() == 0


def test_a_name_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    create(monkeypatch, "mia", "--role", "viewer", "--password-stdin")
    with pytest.raises(CommandError, match=r"There is already a user “mia”\."):
        create(monkeypatch, "mia", "--role", "admin", "--password-stdin")
    assert User.objects.get().role == "viewer"


def test_the_terminal_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Any = iter([PASSWORD, PASSWORD, PASSWORD, "another password"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setattr("sys.stdin", Terminal())
    call_command("create_user", "mia", "--role", "viewer", stdout=io.StringIO())
    assert User.objects.get().check_password(PASSWORD)
    with pytest.raises(CommandError, match=r"The two passwords differ\."):
        call_command("create_user", "ben", "--role", "viewer")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
