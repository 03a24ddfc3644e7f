"""What an environment delivers through that needs a secret: Apprise's services, and the signing of webhooks."""

from __future__ import annotations

import time

from django.db import models

from automations.models.environment import Environment
from automations.models.sealing import unseal

SIGNING_KEPT_SECONDS = 1.0  # how long a process may go by what it read of an environment's signing secrets


class Provider(models.Model):
    """A sealed secret under a `key`: the URL of an Apprise service, or what sends by webhook are signed with."""

    class Kind(models.TextChoices):
        """What the secret is for."""

        APPRISE = "apprise"
        WEBHOOK = "webhook"

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="+")
    key = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind)
    service = models.CharField(max_length=50, blank=True)
    sealed = models.TextField()
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["environment", "key"], name="provider_key_unique")]

    def __str__(self) -> str:
        return self.key

    @property
    def secret(self) -> str:
        """The secret as it was given."""
        return unseal(self.sealed)


_kept: dict[int, tuple[float, list[str]]] = {}


def kept_signing_secrets(environment_id: int) -> list[str] | None:
    """What messages by webhook are signed with, sealed, newest first; None where this process has to read it anew."""
    read_at, secrets = _kept.get(environment_id, (0.0, []))
    return secrets if read_at > time.monotonic() - SIGNING_KEPT_SECONDS else None


def read_signing_secrets(environment_id: int) -> list[str]:
    """The same, read and kept for a second: a message by webhook would cost a statement otherwise."""
    asked = time.monotonic()  # before the reading: what is kept is never younger than it says
    rows = Provider.objects.filter(environment_id=environment_id, kind=Provider.Kind.WEBHOOK).order_by("-pk")
    _kept[environment_id] = (asked, list(rows.values_list("sealed", flat=True)))
    return _kept[environment_id][1]


def forget_signing_secrets() -> None:
    """Drops what was kept."""
    _kept.clear()
