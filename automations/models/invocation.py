"""One accepted request to run something, whoever made it; it groups the runs of its recipients."""

from __future__ import annotations

from django.db import models

from automations.models.automation import Automation, Version
from automations.models.environment import Environment
from automations.models.key_holder import KeyHolder
from automations.models.uid import new_uid

JOURNEYS = "journeys"  # the dialect of what came through Courier's journeys, and is listed there alone


class Invocation(KeyHolder):
    """Wide and written once. `definition` is set when the request brought its own steps; `performer` is who did
    what its runs are about, `actor` who sent the request; `request_id` is kept where a repeated request is told it."""

    uid = models.UUIDField(default=new_uid, unique=True, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    automation = models.ForeignKey(
        Automation, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    version = models.ForeignKey(
        Version, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    definition = models.JSONField(null=True)
    data = models.JSONField(default=dict)
    source = models.CharField(max_length=255)
    dialect = models.CharField(max_length=10)
    actor = models.CharField(max_length=200)
    tags = models.JSONField(default=list)
    tenant = models.CharField(max_length=255, null=True)
    performer = models.CharField(max_length=255, null=True)
    request_id = models.CharField(max_length=100, null=True)
    skips_delays = models.BooleanField(default=False)
    run_count = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    answer = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "dialect", "key_holder"],
                condition=models.Q(key_holder__isnull=False),
                name="invocation_key_holder_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(key_holder__isnull=True, key_expires_at__isnull=True)
                | models.Q(key_holder__isnull=False, key_expires_at__isnull=False, fingerprint__isnull=False),
                name="invocation_key_holder_whole",
            ),
            models.CheckConstraint(
                condition=models.Q(version__isnull=True) | models.Q(definition__isnull=True),
                name="invocation_one_definition",
            ),
        ]
        indexes = [
            models.Index(
                fields=["environment", "idempotency_key"],
                condition=models.Q(idempotency_key__isnull=False),
                name="invocation_idempotency",
            ),
            models.Index(
                fields=["tenant"], condition=models.Q(tenant__isnull=False), name="invocation_tenant"
            ),
            models.Index(
                fields=["key_expires_at"],
                condition=models.Q(key_holder__isnull=False),
                name="invocation_key_expiry",
            ),
            models.Index(
                fields=["environment"], condition=models.Q(dialect=JOURNEYS), name="invocation_journeys"
            ),
        ]

    def __str__(self) -> str:
        return str(self.uid)
