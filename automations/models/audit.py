"""The audit log: who changed what, from where, and what it was before."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from django.db import models
from django.db.models.functions import Now

from automations.models.environment import Environment

PERSON = "user/"  # how the actor begins who is a person
LONGEST_OBJECT = 300
LONGEST_ADDRESS = 64  # of a network address, with a zone

asked_from: ContextVar[str | None] = ContextVar("asked_from", default=None)
"""The network address of the request that is being answered; None where no request is."""


def address_asked_from() -> str | None:
    """That address, as far as it is stored."""
    return (asked_from.get() or "")[:LONGEST_ADDRESS] or None


class AuditEntry(models.Model):
    """One change, never updated. `object` is a kind and a name, `key/7f3kA2b1 backend`; `before` and `after` hold what
    differs, or what was made or removed. Without an environment it is about all of them."""

    environment = models.ForeignKey(
        Environment, null=True, on_delete=models.PROTECT, db_index=False, related_name="+"
    )
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=60)
    object = models.CharField(max_length=LONGEST_OBJECT)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    address = models.CharField(max_length=LONGEST_ADDRESS, null=True)

    class Meta:
        indexes = [models.Index(fields=["action", "id"], name="audit_action_newest")]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.object}"


def audit(
    action: str,
    *,
    of: str,
    by: str,
    environment_id: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Notes the change in the caller's transaction, in one statement; none where `before` and `after` are the same.
    Secrets must not be among them."""
    if before is not None and after is not None:
        names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        if not names:
            return
        before, after = ({name: said.get(name) for name in sorted(names)} for said in (before, after))
    AuditEntry.objects.create(
        environment_id=environment_id, at=Now(), actor=by, action=action, object=of[:LONGEST_OBJECT],
        before=before, after=after, address=address_asked_from(),
    )  # fmt: skip


def audit_of_runs(action: str, *, by: str, **said: Any) -> None:
    """Notes, as `audit` does, what a person did to runs. What an API key, a rule or a step did, the cancellation
    itself tells: there may be thousands a second, and they pay nothing for this."""
    if by.startswith(PERSON):
        audit(action, by=by, **said)
