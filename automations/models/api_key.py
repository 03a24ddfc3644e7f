"""A key with which a backend calls the APIs of one environment."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db import models
from django.utils.crypto import constant_time_compare

from automations.models.audit import LONGEST_ADDRESS
from automations.models.environment import Environment
from automations.models.kept import Kept
from automations.models.sealing import seal, unseal
from automations.models.statements import fetch_first

SCOPES = ("read", "invoke", "cancel", "write", "admin")
WORKSPACE = re.compile(r"ws_[0-9A-Za-z]{8}", re.ASCII)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


# Written out, since every request waits for it (docs/decisions/0003-raw-statements.md).
MATCHING = """
SELECT k.id, k.name, k.public_id, k.secret_sha256, k.scopes, k.sealed_text, k.expires_at, k.revoked_at,
       k.last_used_at, e.id, e.key
FROM automations_apikey k JOIN automations_environment e ON e.id = k.environment_id
WHERE k.public_id = %s
"""


class ApiKeyManager(models.Manager["ApiKey"]):
    def issue(
        self,
        *,
        environment: Environment,
        name: str,
        scopes: tuple[str, ...],
        created_by: str,
        expires_at: datetime | None = None,
        signs: bool = False,
    ) -> tuple[ApiKey, str]:
        """A stored key and its text `cm_<environment>_<id>_<secret>`, which is not kept and cannot be read again;
        except, sealed, that of a key that `signs` requests."""
        public_id, secret = _random_text(8), _random_text(43)
        text = f"cm_{environment.key}_{public_id}_{secret}"
        key = self.create(
            environment=environment,
            name=name,
            public_id=public_id,
            secret_sha256=_digest(secret),
            scopes=list(scopes),
            created_by=created_by,
            expires_at=expires_at,
            sealed_text=seal(text) if signs else None,
        )
        return key, text

    def roll(self, key: ApiKey, *, by: str, until: datetime) -> tuple[ApiKey, str]:
        """A new key like this one, and its text; this one goes on until that moment (UTC) at most."""
        new, text = self.issue(
            environment=key.environment, name=key.name, scopes=tuple(key.scopes), created_by=by,
            expires_at=key.expires_at, signs=key.signs,
        )  # fmt: skip
        key.expires_at = min(until, key.expires_at or until)
        key.save(update_fields=["expires_at"])
        return new, text

    def matching(self, *, text: str, now: datetime) -> ApiKey | None:
        """The live key this text is, with its environment; None for a wrong, revoked or expired one.

        Looked up in the database at every call: a revocation holds from its commit on.
        """
        parts = text.split("_")
        if len(parts) != 4 or parts[0] != "cm" or not text.isascii() or len(text) > 120:
            return None
        key = _found(parts[2])
        if key is None or not constant_time_compare(key.secret_sha256, _digest(parts[3])):
            return None
        if key.environment.key != parts[1] or not key.is_live(now=now):
            return None
        return key

    def of_workspace(self, workspace: str) -> ApiKey | None:
        """The key, live or not, that the workspace key names; None where there is none."""
        if not WORKSPACE.fullmatch(workspace):
            return None
        return _found(workspace.removeprefix("ws_"))


class ApiKey(models.Model):
    """SHA-256 is right for the secret: it is 256 random bits, not a password."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=100)
    public_id = models.CharField(max_length=8, unique=True)
    secret_sha256 = models.CharField(max_length=64)
    sealed_text = models.CharField(max_length=500, null=True)  # the text of a key that signs requests
    scopes = models.JSONField()
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_from = models.CharField(max_length=LONGEST_ADDRESS, null=True, blank=True)

    objects = ApiKeyManager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"

    def is_live(self, *, now: datetime) -> bool:
        """Neither revoked nor expired at `now`."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    @property
    def workspace(self) -> str:
        """What SuprSend's SDKs call a workspace key, or its uid: they sign with the key's text, or send it."""
        return f"ws_{self.public_id}"

    @property
    def signs(self) -> bool:
        """Whether it signs requests, as SuprSend's SDKs do."""
        return self.sealed_text is not None

    @property
    def signing_text(self) -> str | None:
        """The key's text, with which it signs; None for one that does not."""
        return None if self.sealed_text is None else unseal(self.sealed_text)

    def can(self, scope: str) -> bool:
        """Whether the key holds the scope; `admin` holds them all."""
        return scope in self.scopes or "admin" in self.scopes


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _found(public_id: str) -> ApiKey | None:
    """The key of that id with its environment, whatever its state."""
    rows = fetch_first(Kept(MATCHING, [public_id]))
    return _read(rows[0]) if rows else None


@lru_cache(maxsize=256)
def _read(row: tuple[Any, ...]) -> ApiKey:
    """The key that a row of MATCHING describes, one object until the row is another: nobody writes to it. SQLite gives
    moments without their zone."""
    pk, name, public_id, digest, scopes, sealed_text, *moments, environment_pk, environment_key = row
    expires_at, revoked_at, last_used_at = (
        moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC) for moment in moments
    )
    return ApiKey(
        pk=pk, name=name, public_id=public_id, secret_sha256=digest, scopes=json.loads(scopes),
        sealed_text=sealed_text, expires_at=expires_at, revoked_at=revoked_at, last_used_at=last_used_at,
        environment=_environment(environment_pk, environment_key),
    )  # fmt: skip


@lru_cache(maxsize=256)
def _environment(pk: int, key: str) -> Environment:
    """As much of it as an API asks for, one for all requests: nobody writes to it."""
    return Environment(pk=pk, key=key)
