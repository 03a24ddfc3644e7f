"""`manage.py create_user NAME --role ROLE [--password-stdin]`: creates a person who may log in."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from automations.admission import users
from automations.management.preparing import PreparedCommand
from automations.models import Role, User


class Command(PreparedCommand):
    """Asks for the password on the terminal, or reads one line from standard input."""

    help = "Creates a person who may log in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--role", choices=Role.values, required=True)
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = User.normalize_username(options["name"])
        if User.objects.filter(username=name).exists():
            raise CommandError(f"There is already a user “{name}”.")
        password = _read() if options["password_stdin"] else _ask()
        user = User(username=name, role=options["role"])
        try:
            user.clean_fields(exclude=["password"])
            validate_password(password, user)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        users.create(username=name, password=password, role=options["role"], by="command")
        self.stdout.write(f"{name} may log in, as {options['role']}.")


def _read() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _ask() -> str:
    if not sys.stdin.isatty():
        raise CommandError("There is no terminal to ask for the password on: give --password-stdin.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise CommandError("The two passwords differ.")
    return password
