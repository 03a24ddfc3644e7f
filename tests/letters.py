"""Recipients, lists, message templates and providers as tests of sends need them."""

from __future__ import annotations

from typing import Any

from automations.directory import lists, recipients, templates
from automations.models import Environment, MessageTemplate, Provider, Recipient, database_now, seal
from tests.scenes import production


def knows(key: str, *, environment: Environment | None = None, **profile: Any) -> Recipient:
    """A stored recipient with this profile."""
    row, _ = recipients.replace(environment=environment or production(), key=key, profile=profile)
    return row


def listed(key: str, *members: str, environment: Environment | None = None) -> None:
    lists.replace(environment=environment or production(), key=key, members=members, name="", by="test")


def template(key: str = "welcome", *, environment: Environment | None = None, **said: Any) -> MessageTemplate:
    """A stored message template, by default with a path of the data and one of the profile."""
    words = said or {"title": "Hi {{profile.name}}", "body": "Your plan is {{data.plan}}."}
    return templates.create(environment=environment or production(), key=key, by="test", said=words)


def provider(
    key: str, secret: str, *, kind: str = "apprise", environment: Environment | None = None
) -> Provider:
    return Provider.objects.create(
        environment=environment or production(), key=key, kind=kind, service=secret.partition("://")[0][:50],
        sealed=seal(secret), created_at=database_now(), created_by="test",
    )  # fmt: skip
