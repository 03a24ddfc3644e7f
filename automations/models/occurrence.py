"""What a caller said has happened in its own world, and which runs that called off; not the run log's Event."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models

from automations.models.environment import Environment
from automations.models.key_holder import KeyHolder
from automations.models.uid import new_uid

KEPT = timedelta(days=30)
FORGOTTEN_AT_ONCE = 1_000


class Occurrence(KeyHolder):
    """The API calls it an event. It concerns the runs accepted before it: those up to the run `as_of_run`.

    `cancellations` are the ids of those made so far, each noted by the transaction that made it; `failures` say
    which conditions could not be evaluated. `answered_at` stays NULL until all of them are made.
    """

    id = models.UUIDField(primary_key=True, default=new_uid, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="+")
    name = models.CharField(max_length=100)
    data = models.JSONField(default=dict)
    recipient = models.CharField(max_length=255, null=True)
    actor = models.CharField(max_length=200)
    request_id = models.CharField(max_length=100, blank=True)
    accepted_at = models.DateTimeField()
    as_of_run = models.BigIntegerField()
    cancellations = models.JSONField(default=list)
    cancelled = models.PositiveIntegerField(default=0)
    failures = models.JSONField(default=list)
    failed = models.PositiveIntegerField(default=0)
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "key_holder"],
                condition=models.Q(key_holder__isnull=False),
                name="occurrence_key_holder_unique",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "id"], name="occurrence_newest"),
            models.Index(fields=["accepted_at"], name="occurrence_age"),
            models.Index(
                fields=["key_expires_at"],
                condition=models.Q(key_holder__isnull=False),
                name="occurrence_key_expiry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.id}"

    @classmethod
    def forget(cls, *, now: datetime) -> int:
        """Drops a thousand of those older than KEPT; how many. Their cancellations stay."""
        old = cls.objects.filter(accepted_at__lt=now - KEPT).order_by("accepted_at")
        gone, _ = cls.objects.filter(
            pk__in=list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
        ).delete()
        return gone
