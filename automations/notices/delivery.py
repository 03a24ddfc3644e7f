"""Delivers what endpoints are owed: taken in hand by one deliverer at a time, tried for three days, all logged."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef

from automations.channels import DeliveryError, client, signing
from automations.channels.base import excerpt
from automations.models import Unsealable, WebhookDelivery, WebhookEndpoint, database_now, unseal
from automations.notices import facts
from automations.testpoints import testpoint

# The pauses between attempts that Standard Webhooks suggests.
PAUSES = (
    timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=5),
    timedelta(hours=10), timedelta(hours=14), timedelta(hours=20), timedelta(hours=24),
)  # fmt: skip
JITTER = 0.1
DISABLED_AFTER = timedelta(days=3)  # the pauses add up to 75.6 hours
DEADLINE_SECONDS = 15.0
LEASE = timedelta(seconds=60)
AT_ONCE = 8  # for one endpoint in one process, so that a slow one does not take everybody's place
GONE = 410
BUSY = (429, 503)  # answers whose Retry-After is minded
LOGGED = 50
_READ_MOST = 16 * 1024
_EXCERPT = 300

Status = WebhookDelivery.Status

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A delivery taken in hand, with all it needs to be sent without the database; its `secrets` are sealed.
    `claimed` is the time.monotonic() of before the moment (UTC) `now`, at which it was taken."""

    delivery_id: UUID
    endpoint_id: UUID
    url: str
    secrets: Sequence[str]
    body: bytes
    attempt: int
    log: Sequence[Mapping[str, Any]]
    now: datetime
    claimed: float


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came of an attempt: the status of the answer, if there was one, what was wrong, if anything, and for how
    long the receiver wants to be left alone."""

    parcel: Parcel
    at: datetime
    milliseconds: int
    status: int | None = None
    answer: str = ""
    error: str | None = None
    spared: timedelta = timedelta()

    def as_json(self) -> dict[str, Any]:
        """The form in which the delivery's log keeps it."""
        return {
            "attempt": self.parcel.attempt, "at": self.at.isoformat(), "milliseconds": self.milliseconds,
            "status": self.status, "error": self.error, "answer": self.answer,
        }  # fmt: skip


def claim(*, most: int, busy: Mapping[UUID, int]) -> list[Parcel]:
    """At most so many due deliveries, no other deliverer's until their lease ends; `busy` says how many of each
    endpoint are in hand already. Endpoints take turns in no order."""
    claimed, now = time.monotonic(), database_now()
    due = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), next_attempt_at__lte=now)
    endpoints = WebhookEndpoint.objects.filter(Exists(due), disabled_at=None).order_by("?")
    taken: list[tuple[WebhookEndpoint, WebhookDelivery]] = []
    for endpoint in endpoints if most > 0 else ():
        room = min(most - len(taken), AT_ONCE - busy.get(endpoint.pk, 0))
        taken += [(endpoint, delivery) for delivery in _claim(endpoint, room=room, now=now)]
    composed = facts.bodies([delivery for _, delivery in taken]) if taken else {}
    return [
        Parcel(
            delivery_id=delivery.pk, endpoint_id=endpoint.pk, url=endpoint.url,
            secrets=[entry["secret"] for entry in endpoint.valid_entries(now=now)],
            body=composed[delivery.pk], attempt=delivery.attempts + 1,
            log=_log_of_lost(delivery), now=now, claimed=claimed,
        )
        for endpoint, delivery in taken
        if delivery.pk in composed
    ]  # fmt: skip


def _claim(endpoint: WebhookEndpoint, *, room: int, now: datetime) -> list[WebhookDelivery]:
    """The endpoint's oldest due deliveries, as they were before they were taken."""
    if room <= 0:
        return []
    with transaction.atomic():
        rows = list(
            WebhookDelivery.objects.filter(endpoint=endpoint, next_attempt_at__lte=now)
            .select_for_update(skip_locked=True).order_by("next_attempt_at")[:room]
        )  # fmt: skip
        testpoint("delivery.read")
        WebhookDelivery.objects.filter(pk__in=[row.pk for row in rows]).update(
            attempts=F("attempts") + 1, lease_until=now + LEASE, next_attempt_at=now + LEASE
        )
    return rows


def _log_of_lost(delivery: WebhookDelivery) -> list[Mapping[str, Any]]:
    """The log so far, with the attempt whose deliverer was lost, if that is why it is due again."""
    if delivery.lease_until is None:
        return list(delivery.log)
    begun = delivery.lease_until - LEASE
    lost = {
        "attempt": delivery.attempts, "at": begun.isoformat(), "milliseconds": None, "status": None,
        "error": "its worker was lost; whether it arrived is not known", "answer": "",
    }  # fmt: skip
    return [*delivery.log, lost]


def send(parcel: Parcel) -> Answered:
    """One attempt, over after DEADLINE_SECONDS at the latest; any 2xx is a delivery. Raises nothing."""
    begun = time.monotonic()
    at = parcel.now + timedelta(seconds=begun - parcel.claimed)
    given: dict[str, Any] = {"parcel": parcel, "at": at}
    message = str(parcel.delivery_id)
    try:
        secrets = [unseal(sealed) for sealed in parcel.secrets]
        signed = signing.headers(
            message=message, seconds=int(at.timestamp()), body=parcel.body, secrets=secrets
        )
        if begun > parcel.claimed + LEASE.total_seconds() - DEADLINE_SECONDS:
            raise DeliveryError("it was held up for too long to be sent", retryable=True)
        answer = client.shared(allow_private=tuple(settings.ALLOW_PRIVATE_NETWORKS)).request(
            method="POST",
            url=parcel.url,
            headers={
                "Accept": "*/*", "Accept-Encoding": "identity", "Content-Type": "application/json",
                "User-Agent": "Countermand", "Idempotency-Key": message, **signed,
            },
            body=parcel.body,
            deadline=begun + DEADLINE_SECONDS,
            limit=_READ_MOST,
        )  # fmt: skip
        given |= {"status": answer.status, "answer": excerpt(raw=answer.body, limit=_EXCERPT)}
        if not 200 <= answer.status < 300:
            given["error"] = f"it answered {answer.status}"
        if answer.status in BUSY:
            given["spared"] = _spared(answer.headers.get("retry-after", ""), at=at)
    except Unsealable as error:
        log.error("webhook delivery %s: %s", message, error.message)
        given["error"] = error.message
    except DeliveryError as error:
        given |= {"status": error.detail.get("status"), "error": error.message[:500]}
    except Exception as error:  # a fault of ours must not take a sender down
        log.exception("webhook delivery %s", message)
        given["error"] = f"{type(error).__name__}: {error}"[:500]
    return Answered(milliseconds=round((time.monotonic() - begun) * 1000), **given)


def note(answered: Answered) -> None:
    """Logs the attempt and says what is next, if the delivery is still this deliverer's. Each statement is right
    by itself: no row stays locked while another is waited for."""
    parcel, now = answered.parcel, database_now()
    next_attempt_at, status = None, Status.DELIVERED
    if answered.error is not None:
        next_attempt_at = _next(parcel.attempt, spared=answered.spared, now=now)
        status = Status.PENDING if next_attempt_at else Status.FAILED
    mine = WebhookDelivery.objects.filter(
        pk=parcel.delivery_id, attempts=parcel.attempt, lease_until__isnull=False
    )
    mine.update(
        status=status, next_attempt_at=next_attempt_at, lease_until=None,
        log=[*parcel.log, answered.as_json()][-LOGGED:],
    )  # fmt: skip
    endpoint = WebhookEndpoint.objects.filter(pk=parcel.endpoint_id)
    if answered.error is None:
        endpoint.filter(failing_since__isnull=False).update(failing_since=None)
        return
    endpoint.filter(failing_since__isnull=True).update(failing_since=now)
    enabled = endpoint.filter(disabled_at=None)
    if answered.status == GONE:
        enabled.update(disabled_at=now, disabled_reason="it answered 410 Gone")
    else:
        reason = f"every attempt failed for {DISABLED_AFTER.days} days; the last one: {answered.error}"
        enabled.filter(failing_since__lte=now - DISABLED_AFTER).update(
            disabled_at=now, disabled_reason=reason[:500]
        )


def _next(attempt: int, *, spared: timedelta, now: datetime) -> datetime | None:
    """When to try again after that failed attempt (1 is the first), not within `spared`; None when it is given up."""
    if attempt > len(PAUSES):
        return None
    return now + max(PAUSES[attempt - 1], spared) * random.uniform(1, 1 + JITTER)  # noqa: S311  (jitter)


def _spared(retry_after: str, *, at: datetime) -> timedelta:
    """How long a Retry-After of that moment asks to wait, in seconds or as a date; the longest of the pauses at
    most, and nothing where it cannot be read."""
    text = retry_after.strip()
    try:
        if text.isascii() and text.isdigit():
            seconds = float(text)
        else:
            date = parsedate_to_datetime(text)
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - at.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return timedelta()
    return timedelta(seconds=min(max(seconds, 0.0), PAUSES[-1].total_seconds()))
