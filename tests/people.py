"""People of each role, logged in."""

from __future__ import annotations

from typing import Any

from django.test import Client

from automations.models import User

PASSWORD = "correct horse battery staple"
NAMES = {"viewer": "vera", "operator": "otto", "admin": "ana"}
BACKEND = "django.contrib.auth.backends.ModelBackend"


def person(role: str) -> User:
    """Vera, Otto or Ana."""
    found = User.objects.filter(username=NAMES[role]).first()
    return found or User.objects.create_user(username=NAMES[role], password=PASSWORD, role=role)


def client(role: str | None = None, **given: Any) -> Client:
    """A browser in which a person of that role is logged in; nobody without a role."""
    browser = Client(**given)
    if role is not None:
        browser.force_login(person(role), backend=BACKEND)
    return browser
