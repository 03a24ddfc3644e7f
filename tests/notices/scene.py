"""Endpoints and deliveries as the tests of notices need them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from automations.models import (
    RUN_EVENTS,
    Environment,
    WebhookDelivery,
    WebhookEndpoint,
    database_now,
    forget_endpoints,
    seal,
    unseal,
)
from automations.notices import delivery
from tests.scenes import production

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the specification's own example


def endpoint(
    *events: str, url: str = "https://example.com/hook", environment: Environment | None = None, **given: Any
) -> WebhookEndpoint:
    """A stored endpoint that is told of these events, or of all."""
    forget_endpoints()
    return WebhookEndpoint.objects.create(
        environment=environment or production(), url=url, events=list(events or RUN_EVENTS),
        secrets=[{"secret": seal(SECRET), "until": None}], created_at=database_now(), created_by="test",
        **given,
    )  # fmt: skip


def secrets_of(told: WebhookEndpoint, *, at: datetime) -> list[str]:
    """The secrets that sign a message at that moment."""
    return [unseal(entry["secret"]) for entry in told.valid_entries(now=at)]


def owed() -> list[tuple[int | None, str]]:
    """Runs and events of all deliveries."""
    rows = WebhookDelivery.objects.order_by("run", "event")
    return list(rows.values_list("run_id", "event"))


def deliver_all(*, busy: dict[UUID, int] | None = None) -> int:
    """Attempts everything due once; how many attempts there were."""
    parcels = delivery.claim(most=100, busy=busy or {})
    for parcel in parcels:
        delivery.note(delivery.send(parcel))
    return len(parcels)


def make_due() -> None:
    """As if the pauses of all pending deliveries were over."""
    pending = WebhookDelivery.objects.filter(next_attempt_at__isnull=False, lease_until=None)
    pending.update(next_attempt_at=database_now())
