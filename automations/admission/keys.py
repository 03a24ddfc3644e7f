"""API keys are made, rolled over and revoked here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from automations.models import ApiKey, Environment, audit, database_now


def issue(
    *,
    environment: Environment,
    name: str,
    scopes: tuple[str, ...],
    by: str,
    expires_at: datetime | None = None,
    signs: bool = False,
) -> tuple[ApiKey, str]:
    """A stored key and its text, which is told this once."""
    with transaction.atomic():
        key, text = ApiKey.objects.issue(
            environment=environment,
            name=name,
            scopes=scopes,
            created_by=by,
            expires_at=expires_at,
            signs=signs,
        )
        audit("key.made", of=_named(key), by=by, environment_id=environment.pk, after=_facts(key))
    return key, text


def roll(key: ApiKey, *, by: str, until: datetime) -> tuple[ApiKey, str]:
    """A new key like this one, and its text; this one goes on until that moment (UTC) at most."""
    before = _facts(key)
    with transaction.atomic():
        new, text = ApiKey.objects.roll(key, by=by, until=until)
        audit(
            "key.rolled",
            of=_named(key),
            by=by,
            environment_id=key.environment_id,
            before=before,
            after={**_facts(key), "replaced_by": new.public_id},
        )
    return new, text


def revoke(key: ApiKey, *, by: str) -> None:
    """Refuses the key from the commit on; nothing more to do for one that is revoked."""
    now = database_now()
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
            after = {"revoked_at": now.isoformat()}
            audit("key.revoked", of=_named(key), by=by, environment_id=key.environment_id, after=after)


def _named(key: ApiKey) -> str:
    return f"key/{key.public_id} {key.name}"


def _facts(key: ApiKey) -> dict[str, Any]:
    return {"scopes": key.scopes, "expires_at": key.expires_at.isoformat() if key.expires_at else None}
