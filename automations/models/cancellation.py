"""Every request to call runs off, with what it asked and what it was told; also when it matched nothing.

One that matches more than can be moved before its answer is a *bar*: its row alone calls the runs off, from its
commit on, and what each of them bears is swept afterwards (docs/decisions/0007-bars.md)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, models

from automations.models.cancellation_filter import CancellationFilter
from automations.models.environment import Environment
from automations.models.key_holder import KeyHolder
from automations.models.overdue import Overdue
from automations.models.uid import new_uid

if TYPE_CHECKING:
    from automations.models.run import Run

HELD = "held_by_cancellation"  # the status_reason of a run that was called off where it was born


def uid_parameter(uid: UUID) -> UUID | str:
    """A UUID as a raw statement's parameter: SQLite keeps its hexadecimal digits."""
    return uid if connection.features.has_native_uuid_field else uid.hex


def uid_text(uid: UUID | str) -> str:
    """A UUID as text, from what a raw statement gives."""
    if isinstance(uid, UUID):
        return str(uid)
    return uid if "-" in uid else f"{uid[:8]}-{uid[8:12]}-{uid[12:16]}-{uid[16:20]}-{uid[20:]}"


def moment_of(value: datetime | str | float) -> datetime:
    """A moment (UTC), from what a raw statement gives, which may be epoch seconds: SQLite has no zones."""
    if isinstance(value, float):
        return datetime.fromtimestamp(value, UTC)
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Origin(models.TextChoices):
    """Where a cancellation came from."""

    API = "api"
    COURIER = "courier"
    KNOCK = "knock"
    SUPRSEND = "suprsend"
    BROWSER = "browser"
    STEP = "step"
    DISABLE = "disable"
    PUBLISH = "publish"
    RULE = "rule"


class Cancellation(KeyHolder):
    """Until one that was asked for a later time is carried out, `as_of` is that time. Once it is undone it calls
    nothing off any more; `archived_at` is then when the last of its runs was restored.

    `in_flight` and the counts are the receipt as acknowledged: nothing rewrites them, except that counts
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
    in_flight = models.JSONField(default=list, null=True)  # NULL: a bar whose receipt is not complete
    hold_until = models.DateTimeField(null=True)
    undo_until = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)
    undone_by = models.CharField(max_length=200, blank=True)
    overdue = models.CharField(max_length=10, choices=Overdue, blank=True)  # the rule by which it was undone
    restored = models.PositiveIntegerField(default=0)  # runs so far; all of them from `restored_at` on
    restored_at = models.DateTimeField(null=True)
    at = models.DateTimeField(null=True)  # when it was asked to be carried out, if not at once
    scheduled = models.JSONField(null=True)  # until then, and if it never is: seconds that count from then
    bar = models.CharField(max_length=600, null=True)  # CancellationFilter.bar, for a bar and for a hold
    swept_to = models.BigIntegerField(default=0)  # primary key of the last run swept
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
                fields=["environment", "id"],
                condition=models.Q(archived_at__isnull=True),
                name="cancellation_unarchived",
            ),
            models.Index(
                fields=["environment", "at"],
                condition=models.Q(scheduled__isnull=False, undone_at__isnull=True),
                name="cancellation_scheduled",
            ),
            models.Index(
                fields=["environment", "undone_at"],
                condition=models.Q(undone_at__isnull=False, restored_at__isnull=True),
                name="cancellation_restoring",
            ),
            models.Index(
                fields=["environment", "bar"],
                condition=models.Q(swept_at__isnull=True),
                name="cancellation_unswept",
            ),
            *(
                models.Index(
                    fields=["environment", *columns],
                    condition=models.Q(hold_until__isnull=False, undone_at__isnull=True),
                    name=name,
                )
                for name, columns in {
                    "cancellation_holds": ["hold_until"],
                    "cancellation_holds_by_bar": ["bar", "hold_until"],
                }.items()
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
    def is_carried_out(self) -> bool:
        """Whether it has called off what there was; not before its time, and never if it was undone before."""
        return self.scheduled is None

    @property
    def scope(self) -> CancellationFilter:
        """Which runs it is for."""
        return CancellationFilter.from_json(self.filter)

    def held(self) -> models.QuerySet[Run]:
        """The runs accepted while it held, which it called off where they were born."""
        return self.runs.filter(status_reason=HELD)

    @property
    def status_reason(self) -> str:
        """What its runs' status_reason says; but for those that it `held`."""
        if self.origin == Origin.RULE:
            return "superseded" if self.actor.startswith("invocation/") else "cancel_rule"
        return _REASONS.get(self.origin, "cancel_request")


_REASONS: dict[str, str] = {
    Origin.STEP: "cancel_step", Origin.DISABLE: "template_disabled", Origin.PUBLISH: "template_unpublished",
}  # fmt: skip


# Each of them has a label. Said of it, SQLite finds them by their own index, and not by reading all cancellations.
STANDING = models.Q(swept_at=None, bar__gt="")


def standing(**given: Any) -> models.QuerySet[Cancellation]:
    """The bars not swept yet, oldest first."""
    return Cancellation.objects.filter(STANDING, **given).order_by("as_of", "pk")


def covered(bars: Iterable[Cancellation], *, of: str = "") -> models.Q:
    """Over LiveRun, or what is joined with it (`of`): the unfinished runs that these bars call off, swept or not."""
    condition = models.Q(pk__in=[])
    for bar in bars:
        scope = bar.scope
        condition |= scope.condition(of=of) & models.Q(**{f"{of}state__in": scope.states})
    return condition
