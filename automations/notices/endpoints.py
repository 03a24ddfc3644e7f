"""Webhook endpoints are created, changed, rolled, tested and removed here, and their deliveries asked for again."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from automations.channels import DeliveryError, network, signing
from automations.models import (
    KEPT_SECONDS,
    RUN_EVENTS,
    TEST_EVENT,
    Environment,
    No,
    Refusal,
    Unsealable,
    WebhookDelivery,
    WebhookEndpoint,
    audit,
    database_now,
    first_uid,
    forget_endpoints,
    gate,
    resealed,
    retried,
    seal,
)

MOST_ENDPOINTS = 20
MOST_SECRETS = 5
LONGEST_URL = 2000
LONGEST_DESCRIPTION = 500
OLD_SECRET_KEPT = timedelta(hours=24)
DELIVERIES_KEPT = timedelta(days=30)
FORGOTTEN_AT_ONCE = 1_000

log = logging.getLogger(__name__)


def find(*, environment: Environment, uid: UUID) -> WebhookEndpoint:
    """The environment's endpoint of that id. Refusal when there is none."""
    endpoint = WebhookEndpoint.objects.filter(environment=environment, pk=uid).first()
    if endpoint is None:
        raise Refusal(No.NOT_FOUND, "webhook_not_found", f"there is no webhook {uid}")
    return endpoint


def create(
    *, environment: Environment, url: str, events: Sequence[str], description: str, by: str
) -> tuple[WebhookEndpoint, str]:
    """The stored endpoint, and its secret. Every run that ends after this returns is told. Refusal for an
    address that cannot be reached, an unknown event, and one endpoint too many."""
    _check(url=url, events=events)
    if WebhookEndpoint.objects.filter(environment=environment).count() >= MOST_ENDPOINTS:
        message = f"an environment has at most {MOST_ENDPOINTS} webhooks"
        raise Refusal(No.INVALID, "too_many_webhooks", message)
    secret = signing.new_secret()
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.create(
            environment=environment, url=url, events=_sorted(events), description=description, created_by=by,
            secrets=[{"secret": seal(secret), "until": None}], created_at=database_now(),
        )  # fmt: skip
        _note("made", endpoint, by=by, after=_facts(endpoint))
    _wait_until_in_force(environment)
    return endpoint, secret


def change(*, environment: Environment, uid: UUID, changes: dict[str, Any], by: str) -> WebhookEndpoint:
    """The endpoint with another `url`, `description`, `events`, or `disabled` or not; in force when this
    returns. What is owed to a disabled endpoint waits until it is enabled again."""
    _check(url=changes.get("url"), events=changes.get("events"))
    endpoint, others_are_told = _change(environment, uid, changes, by=by)
    if others_are_told:
        _wait_until_in_force(environment)
    return endpoint


@retried
def _change(
    environment: Environment, uid: UUID, changes: dict[str, Any], *, by: str
) -> tuple[WebhookEndpoint, bool]:
    """The endpoint changed, and whether other events are told to it than before."""
    with transaction.atomic():
        endpoint = _locked(environment, uid)
        facts = _facts(endpoint)
        before = (endpoint.events, endpoint.disabled_at is None)
        for name in ("url", "description"):
            setattr(endpoint, name, changes.get(name, getattr(endpoint, name)))
        if "events" in changes:
            endpoint.events = _sorted(changes["events"])
        if changes.get("disabled") is True and endpoint.disabled_at is None:
            endpoint.disabled_at, endpoint.disabled_reason = database_now(), "disabled by hand"
        elif changes.get("disabled") is False:
            endpoint.disabled_at, endpoint.disabled_reason, endpoint.failing_since = None, "", None
        endpoint.save()
        _note("changed", endpoint, by=by, before=facts, after=_facts(endpoint))
    return endpoint, before != (endpoint.events, endpoint.disabled_at is None)


def roll(*, environment: Environment, uid: UUID, by: str) -> tuple[WebhookEndpoint, str]:
    """The endpoint, and the new secret that signs from now on; the old ones sign beside it for 24 hours.
    Refusal when too many old ones still do."""
    secret, now = signing.new_secret(), database_now()
    until = (now + OLD_SECRET_KEPT).isoformat()
    with transaction.atomic():
        endpoint = _locked(environment, uid)
        valid = endpoint.valid_entries(now=now)
        if len(valid) >= MOST_SECRETS:
            message = f"{MOST_SECRETS} secrets are valid; roll again when the oldest is not any more"
            raise Refusal(No.INVALID, "too_many_secrets", message)
        old = [{**entry, "until": entry["until"] or until} for entry in valid]
        endpoint.secrets = [{"secret": seal(secret), "until": None}, *old]
        endpoint.save(update_fields=["secrets"])
        _note("rolled", endpoint, by=by)
    return endpoint, secret


def remove(*, environment: Environment, uid: UUID, by: str) -> None:
    """The endpoint and its deliveries are gone. It is disabled first: once that is in force, no transaction can
    bring about another delivery of it."""
    _change(environment, uid, {"disabled": True}, by=by)
    _wait_until_in_force(environment)
    with transaction.atomic():
        endpoint = _locked(environment, uid)
        _note("removed", endpoint, by=by, before=_facts(endpoint))
        endpoint.delete()


def test(*, environment: Environment, uid: UUID) -> WebhookDelivery:
    """A delivery that tells nothing, to see whether it arrives. Refusal for a disabled endpoint."""
    endpoint = find(environment=environment, uid=uid)
    _refuse_disabled(endpoint)
    now = database_now()
    return WebhookDelivery.objects.create(endpoint=endpoint, event=TEST_EVENT, at=now, next_attempt_at=now)


def retry(*, environment: Environment, uid: UUID, delivery: UUID) -> WebhookDelivery:
    """The delivery, due now, whatever came of it before; one that is being attempted is left to that attempt.
    Refusal for an unknown delivery and for a disabled endpoint."""
    endpoint = find(environment=environment, uid=uid)
    _refuse_disabled(endpoint)
    now = database_now()
    mine = WebhookDelivery.objects.filter(endpoint=endpoint, pk=delivery)
    mine.filter(Q(lease_until__isnull=True) | Q(lease_until__lt=now)).update(
        status=WebhookDelivery.Status.PENDING, next_attempt_at=now
    )
    row = mine.select_related("run").first()
    if row is None:
        raise Refusal(No.NOT_FOUND, "delivery_not_found", f"there is no delivery {delivery}")
    return row


def forget_deliveries() -> int:
    """Deliveries of more than 30 days ago that are not pending leave the log; how many, a thousand at most."""
    first_kept = first_uid(database_now() - DELIVERIES_KEPT)  # ids are in order of time, and have an index
    old = WebhookDelivery.objects.filter(pk__lt=first_kept, next_attempt_at=None)
    gone, _ = WebhookDelivery.objects.filter(
        pk__in=list(old.order_by("pk").values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    ).delete()
    return gone


def reseal() -> int:
    """Secrets that another key sealed than the first of FIELD_KEYS are sealed by that one; how many endpoints had
    such. Those that no key reads are logged, and stay."""
    found = 0
    for pk, secrets in WebhookEndpoint.objects.values_list("pk", "secrets").iterator():
        try:
            if _resealed(secrets) == secrets:
                continue
            with transaction.atomic():
                for endpoint in WebhookEndpoint.objects.select_for_update().filter(pk=pk):
                    endpoint.secrets = _resealed(endpoint.secrets)
                    endpoint.save(update_fields=["secrets"])
                    found += 1
        except Unsealable as error:
            log.error("webhook %s: %s", pk, error.message)
    return found


def _resealed(secrets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "secret": resealed(entry["secret"])} for entry in secrets]


def _note(what: str, endpoint: WebhookEndpoint, *, by: str, **said: dict[str, Any]) -> None:
    audit(
        f"webhook.{what}",
        of=f"webhook/{endpoint.pk} {endpoint.url}",
        by=by,
        environment_id=endpoint.environment_id,
        **said,
    )


def _facts(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "url": endpoint.url, "events": endpoint.events, "description": endpoint.description,
        "disabled": endpoint.disabled_at is not None,
    }  # fmt: skip


def _locked(environment: Environment, uid: UUID) -> WebhookEndpoint:
    """The endpoint, locked until the transaction ends."""
    endpoint = WebhookEndpoint.objects.select_for_update().filter(environment=environment, pk=uid).first()
    if endpoint is None:
        raise Refusal(No.NOT_FOUND, "webhook_not_found", f"there is no webhook {uid}")
    return endpoint


def _wait_until_in_force(environment: Environment) -> None:
    """Returns when no transaction that ends runs goes by the endpoints as they were before.

    Every process reads them anew after KEPT_SECONDS, and behind the gate: what read them before that holds the
    gate until it commits.
    """
    forget_endpoints()
    time.sleep(KEPT_SECONDS)
    _pass_gate(environment)


@retried
def _pass_gate(environment: Environment) -> None:
    with gate(environment_id=environment.pk, exclusive=True):
        pass


def _check(*, url: str | None, events: Sequence[str] | None) -> None:
    if url is not None:
        try:
            _check_address(url)
        except DeliveryError as error:
            raise Refusal.at("/url", "invalid", error.message) from error
    for index, event in enumerate(events or ()):
        if event not in RUN_EVENTS:
            known = ", ".join(RUN_EVENTS)
            raise Refusal.at(f"/events/{index}", "unknown_event", f"an event is one of: {known}")
    if events is not None and not events:
        raise Refusal.at("/events", "required", "“events” must name what the webhook is told of")


def _check_address(url: str) -> None:
    """DeliveryError for what is no address, and for a private one or another port that can be told without a
    look-up; names are looked up, and checked, at every attempt."""
    if len(url) > LONGEST_URL:
        raise DeliveryError(f"the URL may have at most {LONGEST_URL:,} characters", retryable=False)
    parsed = network.parse(url=url)
    host, port = parsed.raw_host.decode("ascii"), parsed.port or (443 if parsed.scheme == "https" else 80)
    allowance = network.Allowance.of(settings.ALLOW_PRIVATE_NETWORKS)
    if network.literal(host=host) is not None:
        network.checked_addresses(
            host=host, port=port, deadline=0.0, allowance=allowance, resolver=network.system_resolver
        )
    elif not allowance.may_cover(host=host, port=port):
        network.check_port(host=host, port=port)


def _refuse_disabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.disabled_at is not None:
        raise Refusal(No.INVALID, "webhook_disabled", "the webhook is disabled; enable it first")


def _sorted(events: Sequence[str]) -> list[str]:
    """In their usual order, each once."""
    return [event for event in RUN_EVENTS if event in events]
