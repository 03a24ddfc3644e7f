"""Recipients are kept, merged and removed here; invokes identify them as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from automations.models import (
    Environment,
    No,
    Recipient,
    Refusal,
    check_size,
    database_now,
    identify,
    retried,
)


def find(*, environment: Environment, key: str) -> Recipient:
    """What is known of the recipient. Refusal when nothing is."""
    row = Recipient.objects.filter(environment=environment, key=key).first()
    if row is None:
        raise Refusal(No.NOT_FOUND, "recipient_not_found", f"nothing is known of a recipient “{key[:100]}”")
    return row


@retried
def replace(*, environment: Environment, key: str, profile: Mapping[str, Any]) -> tuple[Recipient, bool]:
    """The recipient with this profile and no other member, and whether it is new. Refusal above 256 KiB."""
    check_size(profile, of=key)
    now = database_now()
    with transaction.atomic():
        return Recipient.objects.update_or_create(
            environment=environment, key=key, defaults={"profile": dict(profile), "updated_at": now},
            create_defaults={"profile": dict(profile), "created_at": now, "updated_at": now},
        )  # fmt: skip


@retried
def merge(*, environment: Environment, key: str, said: Mapping[str, Any]) -> Recipient:
    """The recipient with what was said laid over the profile, member by member; a null takes its member away."""
    with transaction.atomic():
        identify({key: said}, environment_id=environment.pk, now=database_now())
        return find(environment=environment, key=key)


def remove(*, environment: Environment, key: str) -> None:
    """Forgets the recipient; runs keep the profile they started with. Refusal when nothing was known."""
    gone, _ = Recipient.objects.filter(environment=environment, key=key).delete()
    if not gone:
        find(environment=environment, key=key)
