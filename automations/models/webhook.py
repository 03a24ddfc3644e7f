"""Who is told when a run ends: an environment's webhook endpoints, and what is owed to each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models

from automations.models.cancellation import Cancellation
from automations.models.environment import Environment
from automations.models.run import Run
from automations.models.run_status import FINAL
from automations.models.uid import new_uid

RUN_EVENTS = tuple(f"run.{status.value}" for status in FINAL)
TEST_EVENT = "webhook.test"
KEPT_SECONDS = 1.0  # how long a process may go by what it read of the endpoints


class WebhookEndpoint(models.Model):
    """An address that is told of the `events` of its environment's runs, unless disabled.

    `secrets` are sealed, newest first, each with the moment until which it signs; None for the newest.
    `failing_since` is when attempts began to fail without one success since.
    """

    id = models.UUIDField(primary_key=True, default=new_uid, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="+")
    url = models.CharField(max_length=2000)
    events = models.JSONField(default=list)
    description = models.CharField(max_length=500, blank=True)
    secrets = models.JSONField(default=list)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    failing_since = models.DateTimeField(null=True)
    disabled_at = models.DateTimeField(null=True)
    disabled_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [models.Index(fields=["environment", "id"], name="webhook_endpoint_newest")]

    def __str__(self) -> str:
        return self.url

    def valid_entries(self, *, now: datetime) -> list[dict[str, Any]]:
        """Those of `secrets` that sign a message at that moment."""
        return [
            entry for entry in self.secrets
            if entry["until"] is None or datetime.fromisoformat(entry["until"]) > now
        ]  # fmt: skip


class WebhookDelivery(models.Model):
    """One event owed to one endpoint; written by the transaction that ends the run. Its id is the message's.

    `next_attempt_at` is empty once it is delivered or given up. A deliverer holds it until `lease_until`, and
    notes an outcome only while `attempts` is what it was when it took it. `log` holds every attempt.
    """

    class Status(models.TextChoices):
        """What has become of it."""

        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_uid, editable=False)
    endpoint = models.ForeignKey(
        WebhookEndpoint,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="deliveries",
    )
    run = models.ForeignKey(
        Run, null=True, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    cancellation = models.ForeignKey(
        Cancellation,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    event = models.CharField(max_length=20)
    at = models.DateTimeField()
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    log = models.JSONField(default=list)

    class Meta:
        indexes = [
            models.Index(fields=["endpoint", "id"], name="webhook_delivery_newest"),
            models.Index(
                fields=["endpoint", "next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="webhook_delivery_due",
            ),
            models.Index(fields=["run"], name="webhook_delivery_run"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.id}"


class Ending(NamedTuple):
    """A run (primary key) that ends: its final status, and the cancellation that called it off."""

    run_id: int
    status: str
    cancellation_id: UUID | None = None


def owed(endings: Iterable[Ending], *, environment_id: int, at: datetime) -> list[WebhookDelivery]:
    """What the environment's endpoints are owed for runs that end in this transaction, for it to insert.

    Behind the gate, always: that is how an endpoint knows from when on it is told of everything
    (docs/decisions/0009-what-ends-is-told-from-an-outbox.md). Without runs it reads nothing; otherwise it
    costs a statement once a second in each process.
    """
    ended = list(endings)
    wanted = _wanted().get(environment_id) if ended else None
    if wanted is None:
        return []
    return [
        WebhookDelivery(
            endpoint_id=endpoint_id, run_id=ending.run_id, cancellation_id=ending.cancellation_id,
            event=f"run.{ending.status}", at=at, next_attempt_at=at,
        )
        for ending in ended
        for endpoint_id in wanted.get(f"run.{ending.status}", ())
    ]  # fmt: skip


_Wanted = Mapping[int, Mapping[str, list[UUID]]]
"""By environment and event, the endpoints that want to be told."""

_kept: list[tuple[float, _Wanted]] = []


def _wanted() -> _Wanted:
    """As it was in the database at most KEPT_SECONDS ago."""
    asked = time.monotonic()  # before the reading: what is kept is never younger than it says
    for read_at, wanted in _kept:
        if asked - read_at < KEPT_SECONDS:
            return wanted
    fresh: dict[int, dict[str, list[UUID]]] = {}
    enabled = WebhookEndpoint.objects.filter(disabled_at=None).order_by("pk")
    for pk, environment_id, events in enabled.values_list("pk", "environment_id", "events"):
        for event in events:
            fresh.setdefault(environment_id, {}).setdefault(event, []).append(pk)
    _kept[:] = [(asked, fresh)]
    return fresh


def forget_endpoints() -> None:
    """Drops what was kept."""
    _kept.clear()
