"""Who receives: recipients with what is known of them, and lists of recipients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from django.db import models

from automations.definition import merged
from automations.expressions import MAX_DEPTH, MAX_DOCUMENT, is_too_deep, size_of
from automations.models.environment import Environment
from automations.models.refusal import Refusal

LONGEST_RECIPIENT = 255  # characters of an id
MOST_MEMBERS = 1_000


class Recipient(models.Model):
    """What an environment knows of the recipient `key`, the id that invokes name."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="+")
    key = models.CharField(max_length=LONGEST_RECIPIENT)
    profile = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["environment", "key"], name="recipient_key_unique")]
        indexes = [
            models.Index(fields=["environment", "id"], name="recipient_newest"),
            models.Index(
                fields=["environment", "key"], opclasses=["int8_ops", "varchar_pattern_ops"],
                name="recipient_key_prefix",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.key


class Length(models.Func):
    """How many entries a JSON list has."""

    function = "json_array_length"
    output_field = models.IntegerField()

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, function="jsonb_array_length")


class RecipientListQuerySet(models.QuerySet["RecipientList"]):
    def counted(self) -> RecipientListQuerySet:
        """Without the members, of whom there may be a thousand: with their number as `member_count`."""
        return self.annotate(member_count=Length("members")).defer("members")

    def with_member(self, key: str) -> RecipientListQuerySet:
        """Those that the recipient is on."""
        return self.filter(members__tagged=[key])


class RecipientList(models.Model):
    """Recipients that a `send-list` names together: at most MOST_MEMBERS ids, in order, each once."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="+")
    key = models.CharField(max_length=100)
    name = models.CharField(max_length=200, blank=True)
    members = models.JSONField(default=list)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = RecipientListQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["environment", "key"], name="recipient_list_key_unique")
        ]

    def __str__(self) -> str:
        return self.key


def profiles_of(keys: Iterable[str], *, environment_id: int) -> dict[str, dict[str, Any]]:
    """The stored profiles of these recipients, those that have one; without keys it asks nothing."""
    if not (wanted := set(keys)):
        return {}
    known = Recipient.objects.filter(environment_id=environment_id, key__in=wanted)
    return dict(known.values_list("key", "profile"))


def identify(said: Mapping[str, Mapping[str, Any]], *, environment_id: int, now: datetime) -> None:
    """Merges into each recipient's stored profile what was said of it; see `change_profiles`."""
    changes = {key: partial(merged, said=new) for key, new in said.items()}
    change_profiles(changes, environment_id=environment_id, now=now)


def change_profiles(
    changes: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]],
    *,
    environment_id: int,
    now: datetime,
) -> None:
    """Makes of each recipient's stored profile what its change gives of it; without a change, no statement.

    Comes last in its transaction, and locks rows in the order of their keys: so it holds nobody up for long, and
    two of them cannot wait for each other. Refusal for a profile that would be too large.
    """
    if not changes:
        return
    rows = Recipient.objects.filter(environment_id=environment_id).select_for_update().order_by("key")
    known = list(rows.filter(key__in=changes))
    if new := sorted(set(changes) - {row.key for row in known}):
        Recipient.objects.bulk_create(  # so that there is a row to lock, whoever else makes it at this moment
            [
                Recipient(environment_id=environment_id, key=key, created_at=now, updated_at=now)
                for key in new
            ],
            ignore_conflicts=True,
        )
        known += rows.filter(key__in=new)
    for row in known:
        row.profile, row.updated_at = changes[row.key](row.profile), now
        check_size(row.profile, of=row.key)
    Recipient.objects.bulk_create(
        known, update_conflicts=True, unique_fields=["environment", "key"],
        update_fields=["profile", "updated_at"],
    )  # fmt: skip


def check_size(profile: Mapping[str, Any], *, of: str) -> None:
    """Refusal for more than 64 levels, which steps can lay over one another, and for more than 256 KiB as compact
    JSON."""
    if is_too_deep(profile):
        message = f"the profile of “{of[:100]}” would be nested deeper than {MAX_DEPTH} levels"
        raise Refusal.at("/profile", "data_too_deep", message)
    if size_of(profile) > MAX_DOCUMENT:
        message = f"the profile of “{of[:100]}” would have more than 256 KiB"
        raise Refusal.at("/profile", "data_too_large", message)
