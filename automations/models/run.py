"""A run as history keeps it: wide, written at its birth and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models
from django.db.models.functions import Length, Now, Trim
from django.db.models.lookups import GreaterThan

from automations.models import lookups  # noqa: F401  (registers has_prefix)
from automations.models.automation import Automation, Version
from automations.models.cancellation import Cancellation, CancellationFilter
from automations.models.environment import Environment
from automations.models.invocation import Invocation
from automations.models.uid import new_uid

if TYPE_CHECKING:
    from automations.models.live_run import LiveRun

TOKEN_LENGTH = 512
SKEW = timedelta(minutes=5)  # between a run's uid, made while an invoke is prepared, and its created_at
FEW = 2_000  # runs that a search fetches one by one
MANY = 20  # cancellations whose filters are asked for one by one
SEARCHED = ("id", "source", "token", "recipient", "key")
_HEX = frozenset("0123456789abcdef")


class RunStatus(models.TextChoices):
    """What people and APIs call the state of a run."""

    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    SKIPPED = "skipped", "Skipped"


FINAL = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SKIPPED)


class CappedCount(models.Subquery):
    """`CappedCount(queryset[:most])`: how many rows, counted no further than the slice, in another query."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) capped)"
    output_field = models.IntegerField()
    empty_result_set_value = 0


class RunQuerySet(models.QuerySet["Run"]):
    """Reads. What changes a run is LiveRun's queryset, the one door."""

    def within(self, environment: Environment) -> RunQuerySet:
        """The environment's runs."""
        return self.filter(environment=environment)

    def with_state(self) -> RunQuerySet:
        """Everything a run is shown with, in one statement: two could straddle a commit that archives it."""
        return self.select_related(
            "live", "live__cancellation", "cancellation", "automation", "version", "invocation"
        )

    def listed(self) -> RunQuerySet:
        """`with_state()` for a list: without definitions, data, receipts, each of which may have 256 KiB."""
        return self.select_related("live", "live__cancellation", "cancellation", "automation").only(
            "uid", "version_id", "invocation_id", "recipient", "source", "token", "key", "status",
            "status_reason", "created_at", "finished_at", "automation__key", "automation__name",
            *(f"live__{name}" for name in ("state", "position", "attempt", "due_at", "started_at")),
            *(f"cancellation__{name}" for name in ("actor", "origin", "as_of")),
            *(f"live__cancellation__{name}" for name in ("actor", "origin", "as_of")),
        )  # fmt: skip

    def newest_first(self) -> RunQuerySet:
        return self.order_by("-pk")

    def before(self, pk: int | None) -> RunQuerySet:
        """Keyset paging: what stands after the run `pk` in a newest-first list."""
        return self if pk is None else self.filter(pk__lt=pk)

    def unfinished(self) -> RunQuerySet:
        return self.filter(status__isnull=True, live__state__in=("waiting", "running"))

    def labelled(self, token: str) -> RunQuerySet:
        """Runs whose token or key is `token`."""
        return self.filter(models.Q(token=token) | models.Q(key=token))

    def since(self, moment: datetime) -> RunQuerySet:
        """Runs invoked at `moment` (UTC) or later. created_at has no index; ids grow with time, and the first
        run of that time is found through its time-ordered uid."""
        first = models.Subquery(
            self.model.objects.filter(uid__gte=first_uid(moment - SKEW)).order_by("uid").values("pk")[:1]
        )
        return self.filter(pk__gte=first, created_at__gte=moment)

    def following(self, *, key: str, environment: Environment) -> RunQuerySet:
        """Runs of the environment's automation with that key; one statement of its own counts.

        Those of a busy automation are met soon by the other filters, through whose indexes they are read.
        """
        runs = self.model.objects.filter(environment=environment, automation=models.OuterRef("pk")).values(
            "pk"
        )
        counted = CappedCount(runs[: FEW + 1])
        automation = environment.automations.filter(key=key).values_list("pk", counted).first()
        if automation is None:
            return self.none()
        pk, count = automation
        mine = models.Q(automation=pk)
        return self.filter(mine if count <= FEW else models.Case(models.When(mine, then=True), default=False))

    def found_by(
        self, text: str, *, environment: Environment, fields: Sequence[str] = SEARCHED, whole: bool = False
    ) -> RunQuerySet:
        """Runs with a field that begins with `text`, or is it (`whole`). The field `id` needs 8 digits; `key`
        is the run's key, and the idempotency key, whole, of its invocation. One statement of its own counts.

        Few are fetched through the index of each column, which no planner does reliably for an OR. Many are
        met soon by reading newest first, and sorting them all would be slow: then a CASE hides the indexes.
        """
        runs, lookup = self.model.objects, "exact" if whole else "has_prefix"
        conditions = [models.Q(**{f"{name}__{lookup}": text}) for name in fields if name != "id"]
        kinds = [runs.filter(condition, environment=environment) for condition in conditions]
        capped = (CappedCount(kind.values("pk")[: FEW + 1]) for kind in kinds)
        few = max(Environment.objects.filter(pk=environment.pk).values_list("pk", *capped).get()[1:]) <= FEW
        found = kinds if few else []
        if "key" in fields:
            invocations = Invocation.objects.filter(environment=environment, idempotency_key=text)
            found.append(runs.filter(invocation__in=invocations.values("pk")))
        if "id" in fields and (bounds := _uid_bounds(text)) is not None:
            found.append(runs.filter(uid__range=bounds))
        first, *others = (found_runs.values("pk") for found_runs in [runs.none(), *found])
        among = models.Q(pk__in=first.union(*others, all=True))
        if few:
            return self.filter(among)
        anything = reduce(or_, conditions, among)
        return self.filter(models.Case(models.When(anything, then=True), default=False))

    def in_status(self, status: str, *, environment: Environment, most: int) -> RunQuerySet:
        """`with_status()` for lists: the environment's runs, found in every case through an index. Apply it
        last; it gives at least the newest `most` of the runs filtered before.

        Running rows are due by construction, so the index on due_at finds them. Cancelled runs that are not
        archived yet are found as housekeeping finds them, by their cancellation's own filter.
        """
        live_run: Any = self.model._meta.get_field("live").related_model
        live = live_run.objects.filter(environment=environment)
        if status == RunStatus.RUNNING:
            return self.filter(pk__in=live.filter(state=status, due_at__lte=Now()).values("pk"))
        if status == RunStatus.WAITING:
            return self.filter(status__isnull=True, live__state=status)
        archived = self.filter(status=status)
        if status != RunStatus.CANCELLED:
            return archived
        unarchived = Cancellation.objects.filter(environment=environment, archived_at__isnull=True)
        pending = list(unarchived.order_by()[: MANY + 1])
        if not pending:
            return archived
        called_off = models.Q(cancellation__isnull=False)
        if len(pending) <= MANY:
            scopes = (CancellationFilter.from_json(row.filter).condition() for row in pending)
            called_off &= reduce(or_, scopes)
        kinds = [archived.order_by("-pk").values("pk")[:most], live.filter(called_off).values("pk")]
        first, second = (self.model.objects.filter(pk__in=kind).values("pk") for kind in kinds)
        return self.filter(pk__in=first.union(second, all=True))

    def with_status(self, status: str) -> RunQuerySet:
        """Runs whose public status it is, archived or not."""
        if status in (RunStatus.WAITING, RunStatus.RUNNING):
            return self.filter(status__isnull=True, live__state=status)
        if status == RunStatus.CANCELLED:
            live = models.Q(status__isnull=True, live__state__in=("cancelling", "cancelled"))
            return self.filter(models.Q(status=status) | live)
        return self.filter(status=status)


class Run(models.Model):
    """`status`, `finished_at` and `cancellation` stay NULL until the run is archived; until then the LiveRun
    of the same primary key knows them. `pk` grows in the order of inserts."""

    uid = models.UUIDField(default=new_uid, unique=True, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    invocation = models.ForeignKey(Invocation, on_delete=models.PROTECT, related_name="runs", db_index=False)
    automation = models.ForeignKey(
        Automation,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="runs",
    )
    version = models.ForeignKey(
        Version, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    parent = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, db_index=False, related_name="children"
    )
    recipient = models.CharField(max_length=255, null=True)
    profile = models.JSONField(default=dict)
    source = models.CharField(max_length=255)
    token = models.CharField(max_length=TOKEN_LENGTH, null=True)
    token_error = models.CharField(max_length=500, blank=True)
    key = models.CharField(max_length=255, null=True)
    status = models.CharField(max_length=10, null=True)
    status_reason = models.CharField(max_length=100, blank=True)
    has_errors = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    cancellation = models.ForeignKey(
        Cancellation, null=True, on_delete=models.PROTECT, db_index=False, related_name="runs"
    )

    live: LiveRun

    objects = RunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__isnull=True, finished_at__isnull=True)
                | models.Q(status__in=tuple(FINAL), finished_at__isnull=False),
                name="run_end_whole",
            ),
            models.CheckConstraint(
                condition=models.Q(status="cancelled", cancellation__isnull=False)
                | models.Q(cancellation__isnull=True),
                name="run_cancellation_whole",
            ),
            models.CheckConstraint(
                condition=models.Q(token__isnull=True) | models.Q(GreaterThan(Length(Trim("token")), 0)),
                name="run_token_not_blank",
            ),
            models.CheckConstraint(
                condition=models.Q(key__isnull=True) | models.Q(GreaterThan(Length(Trim("key")), 0)),
                name="run_key_not_blank",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "id"], name="run_newest"),
            models.Index(fields=["environment", "status", "id"], name="run_status"),
            models.Index(fields=["environment", "automation", "id"], name="run_automation"),
            models.Index(
                fields=["environment", "source", "id"],
                opclasses=["int8_ops", "varchar_pattern_ops", "int8_ops"],
                name="run_source",
            ),
            *(
                models.Index(
                    fields=["environment", column, "id"],
                    opclasses=["int8_ops", "varchar_pattern_ops", "int8_ops"],
                    condition=models.Q(**{f"{column}__isnull": False}),
                    name=f"run_{column}",
                )
                for column in ("token", "key", "recipient")
            ),
            models.Index(fields=["invocation"], name="run_invocation"),
            models.Index(fields=["parent"], condition=models.Q(parent__isnull=False), name="run_parent"),
            models.Index(
                fields=["cancellation"],
                condition=models.Q(cancellation__isnull=False),
                name="run_cancellation",
            ),
        ]

    def __str__(self) -> str:
        return str(self.uid)

    @property
    def live_run(self) -> LiveRun | None:
        """The run's live row; None once it is archived."""
        return getattr(self, "live", None)

    @property
    def public_status(self) -> str:
        """One of RunStatus. Read with `with_state()`."""
        if self.status is not None:
            return self.status
        live = self.live_run
        if live is None:  # archived by a commit between two statements of a caller that did not join
            raise LookupError(f"run {self.uid} has no live row; read it with with_state()")
        return RunStatus.CANCELLED if live.cancellation_id else RunStatus(live.state)

    @property
    def is_finished(self) -> bool:
        return self.public_status in FINAL

    @property
    def is_settling(self) -> bool:
        """Cancelled, while a step that had started is not known to have ended."""
        return self.status is None and (live := self.live_run) is not None and live.state == "cancelling"

    @property
    def called_off_by(self) -> Cancellation | None:
        """The one cancellation that cancelled this run, archived or not."""
        if self.status is not None or self.live_run is None:
            return self.cancellation
        return self.live_run.cancellation

    @property
    def reason(self) -> str:
        """Why it ended, archived or not: `status_reason`, in words a program can compare."""
        if self.status_reason or (cancellation := self.called_off_by) is None:
            return self.status_reason
        return cancellation.status_reason

    @property
    def ended_at(self) -> datetime | None:
        """When it finished (UTC); for a cancelled run, when that was acknowledged."""
        if self.finished_at is None and (cancellation := self.called_off_by) is not None:
            return cancellation.as_of
        return self.finished_at

    @property
    def due_at(self) -> datetime | None:
        """When its next step is due (UTC); None when it is not waiting."""
        live = self.live_run
        return live.due_at if live is not None and live.state == "waiting" else None


def first_uid(moment: datetime) -> UUID:
    """The lowest uid that a run made at `moment` can have."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _uid_bounds(text: str) -> tuple[UUID, UUID] | None:
    """The lowest and highest uid that begin with `text`, dashes and case aside; None when none can."""
    digits = text.replace("-", "").lower()
    if not 8 <= len(digits) <= 32 or not _HEX.issuperset(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
