"""What an Idempotency-Key names: the record of the first request that came with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.db import models

from automations.models.gate import database_now
from automations.models.refusal import No, Refusal


class KeyHolder(models.Model):
    """`key_holder` holds the key only while it is in force, and carries its uniqueness; `idempotency_key` stays,
    so that records are found by it for ever."""

    idempotency_key = models.CharField(max_length=255, null=True)
    fingerprint = models.CharField(max_length=64, null=True)
    key_holder = models.CharField(max_length=255, null=True)
    key_expires_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    @classmethod
    def earlier(cls, *, key: str | None, fingerprint: str | None, **scope: Any) -> Self | None:
        """The record that holds this key within the scope now. Refusal when it came with another request."""
        if key is None:
            return None
        held = cls._default_manager.filter(key_holder=key, key_expires_at__gt=database_now(), **scope).first()
        if held is not None and held.fingerprint != fingerprint:
            message = "this Idempotency-Key came with another request before"
            raise Refusal(No.INVALID, "idempotency_key_reused", message)
        return held

    @classmethod
    def free_keys(cls, *, now: datetime, **scope: Any) -> None:
        """Keys whose time is over hold nothing any more."""
        expired = cls._default_manager.filter(key_holder__isnull=False, key_expires_at__lte=now, **scope)
        expired.update(key_holder=None, key_expires_at=None)

    def take_key(
        self,
        key: str | None,
        *,
        fingerprint: str | None,
        now: datetime,
        until: datetime,
        held_as: str | None = None,
        **scope: Any,
    ) -> None:
        """The key, where there is one, is this new record's; a concurrent holder makes its insert fail. It is
        `held_as` another text where the scope says less than whose key it is; by that one it is found."""
        if key is None:
            return
        self.idempotency_key, self.key_holder = key, held_as or key
        self.free_keys(now=now, key_holder=self.key_holder, **scope)
        self.fingerprint = fingerprint
        self.key_expires_at = until
