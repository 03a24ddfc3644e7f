"""A run as history keeps it: wide, written at its birth and at its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, models
from django.db.models.functions import Length, Trim
from django.db.models.lookups import GreaterThan

from automations.models import lookups  # noqa: F401  (registers has_prefix)
from automations.models.automation import Automation, Version
from automations.models.cancellation import STANDING, Cancellation, standing, uid_parameter
from automations.models.descent import PARENT_CANCELLED, Descent
from automations.models.environment import Environment
from automations.models.invocation import Invocation
from automations.models.live_run_bars import bars_over
from automations.models.run_search import RunSearch
from automations.models.run_status import FINAL, RunStatus
from automations.models.statements import fetch
from automations.models.uid import new_uid

if TYPE_CHECKING:
    from automations.models.live_run import LiveRun

TOKEN_LENGTH = 512
FINISHED_UNDER = """
SELECT count(*) FROM automations_run
WHERE environment_id = %s AND {where} AND status IS NOT NULL AND finished_at <= %s
  AND (cancellation_id IS NULL OR cancellation_id <> %s)
"""
STILL = "SELECT 1 FROM automations_liverun WHERE run_id = %s AND state = %s"
_LISTED_LIVE = ("state", "position", "attempt", "due_at", "parked_due_at", "awaits", "started_at")
# What a bar may ask of a live row: a list that left one out would fetch it run by run, where a bar stands.
_UNDER_BARS = (
    "token", "key", "recipient", "automation", "invocation", "source", "tags", "tenant", "created_at", "unsettled",
)  # fmt: skip
_EXPLAINING = ("actor", "origin", "filter", "as_of", "hold_until", "undone_at", "scheduled")
_STANDING = models.Exists(Cancellation.objects.filter(STANDING))


class RunQuerySet(RunSearch):
    """Reads. What changes a run is LiveRun's queryset, the one door."""

    _is_one = False  # whether it can be but one run, however often it is read

    def within(self, environment: Environment) -> RunQuerySet:
        """The environment's runs."""
        return self.filter(environment=environment)

    def with_state(self) -> RunQuerySet:
        """Everything a run is shown with, in one statement: two could straddle a commit that archives it."""
        return self._with_bars().select_related(
            "live", "live__cancellation", "cancellation", "automation", "version", "invocation"
        )

    def listed(self) -> RunQuerySet:
        """`with_state()` for a list: without definitions, data, receipts, each of which may have 256 KiB."""
        joined = self._with_bars().select_related("live", "live__cancellation", "cancellation", "automation")
        return joined.only(
            "uid", "version_id", "invocation_id", "recipient", "source", "token", "key", "status",
            "status_reason", "created_at", "finished_at", "environment", "parent_id", "automation__key",
            "automation__name", "automation__held_at",
            *(f"live__{name}" for name in (*_LISTED_LIVE, *_UNDER_BARS)),
            *(f"cancellation__{name}" for name in ("actor", "origin", "as_of")),
            *(f"live__cancellation__{name}" for name in ("actor", "origin", "as_of")),
        )  # fmt: skip

    def explained(self) -> RunQuerySet:
        """As much of `with_state()` as says why a run was, or was not, called off: half of its columns, and composing
        a column takes as long as reading it."""
        joined = self._with_bars().select_related(
            "live", "live__cancellation", "cancellation", "automation", "invocation"
        )
        return joined.only(
            "uid", "environment", "automation__key", "recipient", "source", "token", "key", "status",
            "status_reason", "created_at", "finished_at", "parent_id",
            *(f"invocation__{name}" for name in ("uid", "idempotency_key", "tenant", "tags")),
            *(f"live__{name}" for name in ("state", "due_at", "parked_due_at", "awaits", *_UNDER_BARS)),
            *(f"cancellation__{name}" for name in _EXPLAINING),
            *(f"live__cancellation__{name}" for name in _EXPLAINING),
        )  # fmt: skip

    def standings(self) -> RunQuerySet:
        """As much of `with_state()` as says how the runs stand: `public_status`."""
        names = ("state", "cancellation_id", *_UNDER_BARS)
        rows = self._with_bars().select_related("live")
        return rows.only("status", "environment", "parent_id", *(f"live__{name}" for name in names))

    def _with_bars(self) -> RunQuerySet:
        """Each run with `barred`: whether bars stand anywhere that are not swept."""
        runs: RunQuerySet = self.annotate(barred=_STANDING)
        return runs

    def _fetch_all(self) -> None:
        """Runs under a bar that is not swept are shown as it will leave them. The bars are read before the rows:
        what was swept between the two says so itself."""
        is_new = self._result_cache is None
        super()._fetch_all()
        rows: Sequence[Run] = self._result_cache or ()
        if is_new and any(getattr(row, "barred", False) for row in rows):
            if self._is_one and _stands_as_read(rows[0]):
                return
            bars, above = list(standing()), _above(rows)
            self._result_cache = None
            super()._fetch_all()
            shown: Iterable[Run] = self._result_cache or ()
            for run in shown:
                run.show_under(bars, above.get(run.pk, ()))

    def find(self, uid: UUID) -> Run | None:
        """The run of that id; None where it is not among these. Not by `first()`: to compose an order of one row
        takes a third of what it takes to read it."""
        found: RunQuerySet = self.filter(uid=uid).order_by()
        found._is_one = True
        return next(iter(found), None)

    def newest_pk(self) -> int:
        """The highest primary key of them; 0 without any."""
        return self.order_by("-pk").values_list("pk", flat=True).first() or 0

    def finished_under(self, cancellation: Cancellation) -> int:
        """How many runs that the cancellation's filter matches had finished before it."""
        where, values = cancellation.scope.where_archived()
        finished_at = connection.ops.adapt_datetimefield_value(cancellation.as_of)
        given = [cancellation.environment_id, *values, finished_at, uid_parameter(cancellation.pk)]
        (((count,),),) = fetch([(FINISHED_UNDER.format(where=where), given)])
        return int(count)

    def newest_first(self) -> RunQuerySet:
        return self.order_by("-pk")

    def labelled(self, token: str) -> RunQuerySet:
        """Runs whose token or key is `token`."""
        return self.filter(models.Q(token=token) | models.Q(key=token))


def _stands_as_read(run: Run) -> bool:
    """Whether no bar is for the run, and none was swept over it since it was read; for one with a parent false, since
    a bar over that may be. Asks for the bars before the state: what was swept between the two says so itself."""
    live = run.live_run
    if run.status is not None:
        return True
    if run.parent_id is not None or live is None:
        return False
    bars, still = fetch([bars_over([run.pk]), (STILL, [run.pk, live.state])])
    return bool(still) and not bars


def _above(rows: Iterable[Any]) -> Mapping[int, Sequence[LiveRun]]:
    """The unfinished runs through which a cancel reaches these, by the primary key of each."""
    children = [run.pk for run in rows if run.parent_id is not None and run.status is None]
    found: defaultdict[int, list[LiveRun]] = defaultdict(list)
    if children:
        descents = Descent.objects.filter(run__in=children, ancestor__live__isnull=False)
        for descent in descents.select_related("ancestor__live").defer("ancestor__profile"):
            found[descent.run_id].append(descent.ancestor.live)
    return found


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
    replay_of = models.UUIDField(null=True, editable=False)  # public id of the run that it repeats

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

    def show_under(self, bars: Iterable[Cancellation], above: Sequence[LiveRun] = ()) -> None:
        """As the oldest of these bars that is for this run, or for one of those `above` it, will leave it."""
        live = self.live_run
        if self.status is not None or live is None or live.state not in ("waiting", "running"):
            return
        for bar in bars:
            if bar.environment_id == self.environment_id and _is_over(bar, (live, *above)):
                quiet = live.state == "waiting" and live.unsettled is None
                live.state, live.cancellation = "cancelled" if quiet else "cancelling", bar
                return

    @property
    def awaits_child(self) -> bool:
        """Whether it goes on only when its child has ended."""
        live = self.live_run
        return live is not None and live.state == "waiting" and live.awaits is not None

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
    def in_flight_at_cancel(self) -> list[dict[str, Any]]:
        """The receipt's entries for this run: the attempts at its steps that had started when it was called off."""
        cancellation = self.called_off_by
        entries = (cancellation.in_flight or []) if cancellation is not None else []
        return [entry for entry in entries if entry["run"] == str(self.uid)]

    @property
    def reason(self) -> str:
        """Why it ended, archived or not: `status_reason`, in words a program can compare."""
        if self.status_reason or (cancellation := self.called_off_by) is None:
            return self.status_reason
        live = self.live_run if self.parent_id is not None else None
        if live is not None and not cancellation.scope.matches(live):
            return PARENT_CANCELLED
        return cancellation.status_reason

    @property
    def ended_at(self) -> datetime | None:
        """When it finished (UTC); for a cancelled run, when that was acknowledged."""
        if self.finished_at is None and (cancellation := self.called_off_by) is not None:
            return cancellation.as_of
        return self.finished_at

    @property
    def due_at(self) -> datetime | None:
        """When its next step is due (UTC), held or not; None when it is not waiting, or waits for a child."""
        live = self.live_run
        if live is None or live.state != "waiting" or live.awaits is not None:
            return None
        return live.parked_due_at or live.due_at

    @property
    def is_held(self) -> bool:
        """Whether it waits until its automation is enabled, and a moment longer if it was put aside meanwhile."""
        live, automation = self.live_run, self.automation
        if self.public_status != RunStatus.WAITING or live is None or automation is None:
            return False
        return automation.held_at is not None or live.parked_due_at is not None


def _is_over(bar: Cancellation, rows: Iterable[LiveRun]) -> bool:
    """Whether the bar is for one of the rows, and none of them was called off by another."""
    return any(row.cancellation_id in (None, bar.pk) and bar.scope.matches(row) for row in rows)
