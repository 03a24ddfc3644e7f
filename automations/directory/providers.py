"""Providers, whose secrets are sealed, are created and removed here."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction

from automations.channels import DeliveryError, apprise, signing
from automations.models import (
    Environment,
    No,
    Provider,
    Refusal,
    Unsealable,
    audit,
    database_now,
    resealed,
    seal,
)

log = logging.getLogger(__name__)

MOST_PROVIDERS = 100
MOST_SIGNING = 3  # each signs every send by webhook
LONGEST_URL = 2_000


def create(
    *, environment: Environment, key: str, kind: Provider.Kind, url: str | None, by: str
) -> tuple[Provider, str | None]:
    """The stored provider; and for `webhook` its new secret, which is told this once.

    Refusal for a key that is taken, one provider too many, and a URL that Apprise may not be used with, or that is
    not understood; also where Apprise is not installed.
    """
    _check_room(environment, kind)
    secret = signing.new_secret() if kind is Provider.Kind.WEBHOOK else _checked(url or "")
    service = "" if kind is Provider.Kind.WEBHOOK else apprise.schema_of(secret)
    try:
        with transaction.atomic():
            row = Provider.objects.create(
                environment=environment, key=key, kind=kind, service=service, sealed=seal(secret),
                created_at=database_now(), created_by=by,
            )  # fmt: skip
            said = {"kind": kind.value, "service": service or None}
            audit("provider.made", of=f"provider/{key}", by=by, environment_id=environment.pk, after=said)
    except IntegrityError as error:
        raise Refusal.at("/key", "taken", f"there is a provider “{key}” already") from error
    return row, secret if kind is Provider.Kind.WEBHOOK else None


def remove(*, environment: Environment, key: str, by: str) -> None:
    """Forgets the provider and its secret. Refusal when there is none."""
    with transaction.atomic():
        gone, _ = Provider.objects.filter(environment=environment, key=key).delete()
        if gone:
            audit("provider.removed", of=f"provider/{key}", by=by, environment_id=environment.pk)
    if not gone:
        raise Refusal(No.NOT_FOUND, "provider_not_found", f"there is no provider “{key[:100]}”")


def reseal() -> int:
    """Secrets that another key sealed than the first of FIELD_KEYS are sealed by that one; how many there were.
    Those that no key reads are logged, and stay."""
    found = 0
    for pk, sealed in Provider.objects.values_list("pk", "sealed").iterator():
        try:
            if (anew := resealed(sealed)) != sealed:
                found += Provider.objects.filter(pk=pk, sealed=sealed).update(sealed=anew)
        except Unsealable as error:
            log.error("provider %s: %s", pk, error.message)
    return found


def _checked(url: str) -> str:
    try:
        apprise.opened(url)
    except DeliveryError as error:
        code = "not_installed" if error.message == apprise.MISSING else "invalid"
        raise Refusal.at("/url", code, error.message) from error
    return url


def _check_room(environment: Environment, kind: Provider.Kind) -> None:
    mine = Provider.objects.filter(environment=environment)
    if mine.count() >= MOST_PROVIDERS:
        message = f"an environment has at most {MOST_PROVIDERS} providers"
        raise Refusal(No.INVALID, "too_many_providers", message)
    if kind is Provider.Kind.WEBHOOK and mine.filter(kind=kind).count() >= MOST_SIGNING:
        message = f"an environment signs webhooks with at most {MOST_SIGNING} secrets"
        raise Refusal(No.INVALID, "too_many_providers", message)
