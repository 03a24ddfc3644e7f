"""What an environment delivers through that needs a secret: Apprise's services, and the signing of webhooks."""

from __future__ import annotations

from django.db import models

from automations.models.environment import Environment
from automations.models.sealing import unseal


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
