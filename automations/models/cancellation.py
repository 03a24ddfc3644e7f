"""Every request to call runs off, with what it asked and what it was told; also when it matched nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, models

from automations.models.environment import Environment
from automations.models.key_holder import KeyHolder
from automations.models.uid import new_uid


@dataclass(frozen=True, kw_only=True)
class CancellationFilter:
    """Which runs a cancellation is for: fields ANDed, values within one field ORed.

    `token` matches a run's token or its key, `key` the key alone. `run_ids` are public ids, and `run_pks` the
    same runs once looked up. Not meant to be empty: an empty filter is refused, it never means "all".
    """

    token: str | None = None
    key: str | None = None
    run_ids: tuple[UUID, ...] = ()
    run_pks: tuple[int, ...] | None = None
    automation_id: int | None = None
    not_invocation_id: int | None = None

    def condition(self) -> models.Q:
        """The filter over columns that LiveRun and Run have in common; it joins nothing."""
        condition = models.Q()
        if self.token is not None:
            condition &= models.Q(token=self.token) | models.Q(key=self.token)
        if self.key is not None:
            condition &= models.Q(key=self.key)
        if self.run_pks is not None:
            condition &= models.Q(pk__in=self.run_pks)
        if self.automation_id is not None:
            condition &= models.Q(automation_id=self.automation_id)
        if self.not_invocation_id is not None:
            condition &= ~models.Q(invocation_id=self.not_invocation_id)
        return condition

    def where(self, *, pk: str = "run_id") -> tuple[str, list[Any]]:
        """The same as a part of a WHERE, with its parameters; `pk` is the column with the run's key."""
        parts: list[str] = []
        values: list[Any] = []
        if self.token is not None:
            parts.append("(token = %s OR key = %s)")
            values += [self.token, self.token]
        if self.key is not None:
            parts.append("key = %s")
            values.append(self.key)
        if self.run_pks is not None:
            parts.append(f"{pk} IN ({', '.join(['%s'] * len(self.run_pks)) or 'NULL'})")
            values += self.run_pks
        if self.automation_id is not None:
            parts.append("automation_id = %s")
            values.append(self.automation_id)
        if self.not_invocation_id is not None:
            parts.append("invocation_id <> %s")
            values.append(self.not_invocation_id)
        return " AND ".join(parts), values

    @property
    def is_empty(self) -> bool:
        """Whether nothing narrows it."""
        return (
            self.token is None
            and self.key is None
            and not self.run_ids
            and self.run_pks is None
            and self.automation_id is None
        )

    def as_json(self) -> dict[str, Any]:
        """As stored; `from_json` reads it back."""
        stored: dict[str, Any] = {
            "token": self.token,
            "key": self.key,
            "run_ids": [str(run) for run in self.run_ids] or None,
            "run_pks": list(self.run_pks) if self.run_pks is not None else None,
            "automation_id": self.automation_id,
            "not_invocation_id": self.not_invocation_id,
        }
        return {name: value for name, value in stored.items() if value is not None}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CancellationFilter:
        """The filter that `as_json` stored."""
        return cls(
            token=stored.get("token"),
            key=stored.get("key"),
            run_ids=tuple(UUID(run) for run in stored.get("run_ids", ())),
            run_pks=tuple(stored["run_pks"]) if "run_pks" in stored else None,
            automation_id=stored.get("automation_id"),
            not_invocation_id=stored.get("not_invocation_id"),
        )


def uid_parameter(uid: UUID) -> UUID | str:
    """A UUID as a raw statement's parameter: SQLite keeps its hexadecimal digits."""
    return uid if connection.features.has_native_uuid_field else uid.hex


def uid_text(uid: UUID | str) -> str:
    """A UUID as text, from what a raw statement gives."""
    return (
        str(uid) if isinstance(uid, UUID) else f"{uid[:8]}-{uid[8:12]}-{uid[12:16]}-{uid[16:20]}-{uid[20:]}"
    )


class Origin(models.TextChoices):
    """Where a cancellation came from."""

    API = "api"
    COURIER = "courier"
    BROWSER = "browser"
    STEP = "step"
    DISABLE = "disable"
    RULE = "rule"


class Cancellation(KeyHolder):
    """`in_flight` and the counts are the receipt as acknowledged: nothing rewrites them, except that counts
    left open at the acknowledgement (`counted` false) are filled in once known."""

    id = models.UUIDField(primary_key=True, default=new_uid, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="+")
    actor = models.CharField(max_length=200)
    origin = models.CharField(max_length=20, choices=Origin)
    request_id = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    filter = models.JSONField()
    as_of = models.DateTimeField()
    as_of_run = models.BigIntegerField(null=True)
    matched = models.PositiveIntegerField(null=True)
    cancelled = models.PositiveIntegerField(null=True)
    already_finished = models.PositiveIntegerField(null=True)
    counted = models.BooleanField(default=True)
    cancelled_run_ids = models.JSONField(default=list)
    in_flight = models.JSONField(default=list)
    hold_until = models.DateTimeField(null=True)
    undo_until = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)
    swept_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "key_holder"],
                condition=models.Q(key_holder__isnull=False),
                name="cancellation_key_holder_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(counted=False)
                | models.Q(matched__isnull=False, cancelled__isnull=False, already_finished__isnull=False),
                name="cancellation_counts_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "id"], name="cancellation_newest"),
            models.Index(
                fields=["environment"],
                condition=models.Q(archived_at__isnull=True),
                name="cancellation_unarchived",
            ),
            models.Index(
                fields=["environment"], condition=models.Q(swept_at__isnull=True), name="cancellation_unswept"
            ),
            models.Index(
                fields=["key_expires_at"],
                condition=models.Q(key_holder__isnull=False),
                name="cancellation_key_expiry",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def status_reason(self) -> str:
        """What its runs' status_reason says."""
        if self.origin == Origin.RULE:
            return "superseded" if self.actor.startswith("invocation/") else "cancel_rule"
        return "cancel_step" if self.origin == Origin.STEP else "cancel_request"
