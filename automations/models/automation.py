"""Automations as people edit them, and the immutable versions that runs follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.core.validators import RegexValidator
from django.db import models

from automations.models.environment import Environment
from automations.models.kept import Kept
from automations.models.statements import fetch

KEY_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,99}\Z"
MOST_OFFERED = 500
RESERVED_KEYS = frozenset({"invoke", "runs", "cancel", "publish", "versions", "templates", "new"})


# Written out, since cancels of two dialects wait for it (docs/decisions/0003-raw-statements.md).
NAMED = """
SELECT id, key FROM automations_automation WHERE environment_id = %s AND (key = %s OR alias = %s)
ORDER BY key = %s DESC LIMIT 1
"""


class DisableMode(models.TextChoices):
    """What becomes of the runs under way of an automation that takes no more invokes: they go on, they wait until it
    is enabled, or they are called off."""

    DRAIN = "drain"
    HOLD = "hold"
    CANCEL = "cancel"


class AutomationQuerySet(models.QuerySet["Automation"]):
    def within(self, environment: Environment) -> AutomationQuerySet:
        """The environment's automations."""
        return self.filter(environment=environment)

    def offered(self) -> Iterable[Mapping[str, object]]:
        """The first MOST_OFFERED by name, to choose from: the `key` and `name` of each."""
        return self.order_by("name", "key").values("key", "name")[:MOST_OFFERED]

    def named(self, name: str) -> AutomationQuerySet:
        """Those whose key or alias is `name`; a key outranks an alias (read the first)."""
        own = models.Case(models.When(key=name, then=0), default=1)
        return self.filter(models.Q(key=name) | models.Q(alias=name)).order_by(own)


class Named(NamedTuple):
    """An automation, as much of it as a filter needs."""

    pk: int
    key: str


def automation_named(name: str, *, environment: Environment) -> Named | None:
    """The environment's automation with that key or, else, alias."""
    (rows,) = fetch([Kept(NAMED, [environment.pk, name, name, name])])
    return Named(*rows[0]) if rows else None


class Automation(models.Model):
    """An automation template: one draft, and at most one version that new runs follow."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="automations")
    key = models.CharField(max_length=100, validators=[RegexValidator(KEY_PATTERN)])
    alias = models.CharField(max_length=255, null=True, blank=True)
    name = models.CharField(max_length=200)
    description = models.TextField(max_length=2000, blank=True)
    draft = models.JSONField()
    draft_revision = models.PositiveIntegerField(default=1)
    published = models.ForeignKey(
        "automations.Version", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_mode = models.CharField(max_length=10, choices=DisableMode, blank=True)
    disabled_reason = models.CharField(max_length=500, blank=True)
    held_at = models.DateTimeField(null=True, blank=True)  # since then its runs start no step
    # How the runs that were put aside go on, {overdue, seconds}, until the last of them does.
    resuming = models.JSONField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.CharField(max_length=200, blank=True)

    objects = AutomationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["environment", "key"], name="automation_key_unique"),
            models.UniqueConstraint(fields=["environment", "alias"], name="automation_alias_unique"),
        ]
        indexes = [
            models.Index(
                fields=["environment"], condition=models.Q(held_at__isnull=False), name="automation_held"
            ),
            models.Index(
                fields=["environment"], condition=models.Q(resuming__isnull=False), name="automation_resuming"
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def status(self) -> str:
        """draft, published or archived."""
        if self.archived_at is not None:
            return "archived"
        return "published" if self.published_id else "draft"

    @property
    def mode(self) -> str | None:
        """How it is disabled: one of DisableMode; None when it is not."""
        return None if self.disabled_at is None else self.disabled_mode or DisableMode.DRAIN


class Version(models.Model):
    """A published definition; never changed, so a run keeps what it started with."""

    automation = models.ForeignKey(Automation, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField()
    note = models.CharField(max_length=500, blank=True)
    published_at = models.DateTimeField()
    published_by = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["automation", "number"], name="version_number_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.automation_id} v{self.number}"
