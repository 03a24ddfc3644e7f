"""The one door: every change of an unfinished run's state is a guarded write in this module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import groupby
from operator import attrgetter, or_
from typing import Any

from django.db import connection, models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from automations.models.automation import Automation
from automations.models.cancellation import Cancellation, CancellationFilter, uid_parameter, uid_text
from automations.models.environment import Environment
from automations.models.event import Event, EventKind
from automations.models.invocation import Invocation
from automations.models.live_run_times import Timetable
from automations.models.run import TOKEN_LENGTH, Run
from automations.models.run_status import RunStatus
from automations.models.statements import fetch, insert
from automations.testpoints import testpoint


class LiveState(models.TextChoices):
    """waiting -> running -> waiting ...; a cancel takes waiting to cancelled and running to cancelling."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


LATE_AFTER = timedelta(seconds=60)
LEASED = (LiveState.RUNNING, LiveState.CANCELLING)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One started attempt: proof that the holder may carry out the run's step at `position`."""

    run_id: int
    environment_id: int
    position: str
    attempt: int
    fence: int
    due_at: datetime
    started_at: datetime


@dataclass(frozen=True, kw_only=True)
class Move:
    """Where a held run goes: to wait at `position` until `due_at`, or, with a `status`, to its end."""

    run_id: int
    fence: int
    position: str
    due_at: datetime
    attempt: int = 0
    status: str | None = None
    status_reason: str = ""
    has_errors: bool = False

    @property
    def target(self) -> tuple[Any, ...]:
        """Moves with equal targets are written by one statement."""
        return (
            self.status or "",
            self.status_reason,
            self.has_errors,
            self.position,
            self.due_at,
            self.attempt,
        )


TARGET = attrgetter("target")

Cancelled = tuple[int, str, str]
"""A run that a cancel moved: primary key, public id, new state."""


CANCEL = """
UPDATE automations_liverun
SET state = CASE WHEN state = 'waiting' AND unsettled IS NULL THEN 'cancelled' ELSE 'cancelling' END,
    due_at = CASE WHEN state = 'waiting' AND unsettled IS NOT NULL THEN %s ELSE due_at END,
    cancellation_id = %s
WHERE environment_id = %s AND {where} AND state IN ('waiting', 'running')
RETURNING run_id, uid, state
"""

FINISHED = """
SELECT count(*) FROM (
    SELECT id FROM automations_run WHERE environment_id = %s AND {archived} AND status IS NOT NULL
    UNION ALL
    SELECT run_id FROM automations_liverun
    WHERE environment_id = %s AND {live} AND cancellation_id IS NOT NULL AND cancellation_id <> %s
    LIMIT %s
) finished
"""
COUNTED_FINISHED = 10_000


class LiveRunQuerySet(Timetable):
    """Each method is one transition; the state condition stands on its outermost WHERE, which is the part
    PostgreSQL checks again after it waited for another transaction's lock."""

    def within(self, environment_id: int) -> LiveRunQuerySet:
        return self.filter(environment_id=environment_id)

    def due(self, *, now: datetime) -> LiveRunQuerySet:
        """Waiting runs whose time has come, oldest first."""
        return self.filter(state=LiveState.WAITING, due_at__lte=now).order_by("due_at")

    def expired(self, *, now: datetime | Now) -> LiveRunQuerySet:
        """Attempts whose lease ran out; they were due once, so the index on due_at finds them."""
        return self.filter(state__in=LEASED, due_at__lte=now, lease_until__lt=now)

    # -- start ------------------------------------------------------------------------------------------

    def start(
        self,
        *,
        environment_id: int,
        limit: int,
        lease: timedelta,
        now: datetime,
        worker: int | None = None,
        late: int | None = None,
    ) -> list[Claim]:
        """waiting -> running for at most `limit` due runs, oldest first; their effects begin after the commit.

        With `late`, runs due for more than LATE_AFTER come last, and no more than so many of them. Rows another
        transaction holds are passed over; on SQLite the transaction is the only writer.
        """
        rows: list[tuple[Any, ...]] = []
        for queue, most in self.within(environment_id)._queues(limit=limit, late=late, now=now):
            wanted = queue.select_for_update(skip_locked=True).values_list(
                "pk", "position", "attempt", "fence", "due_at"
            )
            rows += wanted[: min(most, limit - len(rows))]
        if not rows:
            return []
        started = self.filter(pk__in=[row[0] for row in rows], state=LiveState.WAITING).update(
            state=LiveState.RUNNING,
            fence=F("fence") + 1,
            attempt=F("attempt") + 1,
            lease_until=now + lease,
            started_at=now,
            worker=worker,
        )
        if started != len(rows):  # the rows are locked: anything else is a broken guard
            raise AssertionError(f"{started} of {len(rows)} locked runs were waiting")
        return [
            Claim(
                run_id=pk, environment_id=environment_id, position=position, attempt=attempt + 1,
                fence=fence + 1, due_at=due_at, started_at=now,
            )
            for pk, position, attempt, fence, due_at in rows
        ]  # fmt: skip

    def _queues(self, *, limit: int, late: int | None, now: datetime) -> list[tuple[LiveRunQuerySet, int]]:
        """The due runs in the order in which they are started, each part with how many of it."""
        if late is None:
            return [(self.due(now=now), limit)]
        then = now - LATE_AFTER
        return [(self.due(now=now).filter(due_at__gt=then), limit), (self.due(now=then), late)]

    def renew(self, claims: Iterable[Claim], *, lease: timedelta, now: datetime) -> int:
        """Prolongs the leases still held under these fences; the number prolonged."""
        held = self._mine(claims).filter(state__in=LEASED, lease_until__isnull=False)
        return held.update(lease_until=now + lease)

    # -- finish -----------------------------------------------------------------------------------------

    def hold(self, claims: Iterable[Claim]) -> dict[tuple[int, int], str]:
        """Locks the runs of these claims until the transaction ends; the states of those leased, by primary key
        and fence: of two attempts at one run, one at most is still held."""
        pks = {claim.run_id for claim in claims}
        rows = self.filter(pk__in=pks, lease_until__isnull=False).select_for_update().order_by("pk")
        return {(pk, fence): state for pk, fence, state in rows.values_list("pk", "fence", "state")}

    def finish(self, moves: Sequence[Move], *, now: datetime) -> int:
        """running -> waiting at the next place, or the end; the number moved.

        Grouped, so that a batch of like moves is one UPDATE. A run that is cancelling, or not held under
        that fence any more, is not moved: a caller who gets fewer than asked for rolls back, and sorts the
        runs with `hold` first.
        """
        moved = 0
        for target, group in groupby(sorted(moves, key=TARGET), key=TARGET):
            status, reason, has_errors, position, due_at, attempt = target
            members = list(group)
            mine = self._mine(members).filter(state=LiveState.RUNNING)
            if status:
                moved += mine._end(members, status=status, reason=reason, has_errors=has_errors, now=now)
            else:
                moved += mine.update(
                    state=LiveState.WAITING, position=position, due_at=due_at, attempt=attempt,
                    lease_until=None, started_at=None,
                )  # fmt: skip
        return moved

    def _mine(self, held: Iterable[Claim | Move]) -> LiveRunQuerySet:
        """The rows held under these fences."""
        by_fence: dict[int, list[int]] = {}
        for one in held:
            by_fence.setdefault(one.fence, []).append(one.run_id)
        mine = (Q(pk__in=pks, fence=fence) for fence, pks in by_fence.items())
        return self.filter(reduce(or_, mine, Q(pk__in=[])))

    def _end(
        self, moves: Sequence[Move], *, status: str, reason: str, has_errors: bool, now: datetime
    ) -> int:
        """running -> the end: the live rows go, and Run takes the status, in the caller's transaction."""
        ended, _ = self.delete()
        if ended != len(moves):
            return ended
        Run.objects.filter(pk__in=[move.run_id for move in moves], status__isnull=True).update(
            status=status, status_reason=reason, has_errors=has_errors, finished_at=now
        )
        return ended

    def let_go(self, claims: Iterable[Claim]) -> None:
        """An attempt ended while its run was cancelling: the lease goes, the run is cancelled once no other
        attempt of it is unsettled. Only for runs locked by `hold`."""
        settled = When(unsettled__isnull=True, then=Value(LiveState.CANCELLED))
        self._mine(claims).filter(state=LiveState.CANCELLING).update(
            state=Case(settled, default=F("state")), lease_until=None
        )

    # -- cancel -----------------------------------------------------------------------------------------

    def cancel(
        self, *, cancellation: Cancellation, scope: CancellationFilter, now: datetime
    ) -> tuple[list[Cancelled], int]:
        """waiting -> cancelled, at once and for good; running -> cancelling, which starts nothing more. Also
        counts the runs that match but had ended or been called off before, up to COUNTED_FINISHED + 1.

        One UPDATE: between two, a run could pass from the second one's state to the first one's and escape.
        A waiting run with unsettled attempts becomes cancelling and due, so that reap finds it. Written out,
        since the acknowledgement waits for it (docs/decisions/0003-raw-statements.md; the tests hold it
        against the ORM's).
        """
        where, values = scope.where()
        due_at, name = connection.ops.adapt_datetimefield_value(now), uid_parameter(cancellation.pk)
        update = (CANCEL.format(where=where), [due_at, name, cancellation.environment_id, *values])
        archived, sought = scope.where(pk="id")
        of_each = [cancellation.environment_id, *sought, cancellation.environment_id, *values, name]
        count = (FINISHED.format(archived=archived, live=where), [*of_each, COUNTED_FINISHED + 1])
        moved, ((finished,),) = fetch([update, count])
        return sorted((pk, uid_text(uid), state) for pk, uid, state in moved), finished

    # -- reap and settle --------------------------------------------------------------------------------

    def reap(self, row: LiveRun, *, move: Move | None, lost: Mapping[str, Any]) -> int:
        """Takes back an attempt whose lease ran out: running -> waiting again (or, by `move`, the end), and
        cancelling stays; the attempt is unsettled until its worker reports or is known dead."""
        unsettled = [*(row.unsettled or []), dict(lost)]
        mine = self.filter(pk=row.pk, fence=row.fence, lease_until=row.lease_until)
        if row.state == LiveState.CANCELLING or move is None:
            return mine.filter(state=LiveState.CANCELLING).update(unsettled=unsettled, lease_until=None)
        running = mine.filter(state=LiveState.RUNNING)
        if move.status:
            return running._end(
                [move], status=move.status, reason=move.status_reason, has_errors=True, now=move.due_at
            )
        return running.update(
            state=LiveState.WAITING, position=move.position, due_at=move.due_at, unsettled=unsettled,
            lease_until=None, started_at=None,
        )  # fmt: skip

    def settle(self, row: LiveRun, *, fences: Iterable[int]) -> int:
        """Strikes settled attempts from a locked run; the last one makes a cancelling run cancelled."""
        gone = set(fences)
        left = [entry for entry in row.unsettled or [] if entry["fence"] not in gone] or None
        mine = self.filter(pk=row.pk, fence=row.fence)
        if left is None and row.lease_until is None:
            settled = When(state=LiveState.CANCELLING, then=Value(LiveState.CANCELLED))
            return mine.update(unsettled=None, state=Case(settled, default=F("state")))
        return mine.update(unsettled=left)

    # -- archive ----------------------------------------------------------------------------------------

    def archive(self, *, cancellation: Cancellation, limit: int) -> int:
        """Takes at most `limit` cancelled runs of that cancellation, among those filtered, into history."""
        rows = list(
            self.filter(cancellation=cancellation.pk, state=LiveState.CANCELLED)
            .select_for_update(skip_locked=True)
            .values_list("pk", "position", "due_at", "attempt", "fence")[:limit]
        )  # fmt: skip
        if not rows:
            return 0
        testpoint("archive.read")
        pks = [row[0] for row in rows]
        gone, _ = self.model.objects.filter(pk__in=pks, state=LiveState.CANCELLED).delete()
        if gone != len(pks):
            raise AssertionError(f"{gone} of {len(pks)} locked runs were cancelled")
        Run.objects.filter(pk__in=pks, status__isnull=True).update(
            status=RunStatus.CANCELLED,
            status_reason=cancellation.status_reason,
            finished_at=cancellation.as_of,
            cancellation=cancellation.pk,
        )
        insert(
            Event(
                run_id=pk, at=cancellation.as_of, kind=EventKind.CANCELLED, step=position, attempt=attempt,
                data={"due_at": due_at.isoformat(), "fence": fence, "cancellation": str(cancellation.pk)},
            )
            for pk, position, due_at, attempt, fence in rows
        )  # fmt: skip
        return len(pks)


class LiveRun(models.Model):
    """An unfinished run: queue entry, timer, lease and status in one narrow row.

    State, lease, fence, attempt and cancellation are in no index, so that starting and cancelling are
    heap-only updates on PostgreSQL. Foreign keys carry no constraint: Run and LiveRun are written together,
    and a constraint here would lock the same few parent rows at every invoke.
    """

    run = models.OneToOneField(
        Run, primary_key=True, on_delete=models.CASCADE, related_name="live", db_constraint=False
    )
    uid = models.UUIDField()
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    automation = models.ForeignKey(
        Automation, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    invocation = models.ForeignKey(
        Invocation, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    parent = models.ForeignKey(
        Run, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    recipient = models.CharField(max_length=255, null=True)
    source = models.CharField(max_length=255)
    tags = models.JSONField(null=True)
    tenant = models.CharField(max_length=255, null=True)
    token = models.CharField(max_length=TOKEN_LENGTH, null=True)
    key = models.CharField(max_length=255, null=True)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=LiveState, default=LiveState.WAITING)
    position = models.CharField(max_length=100)
    attempt = models.PositiveIntegerField(default=0)
    fence = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    worker = models.BigIntegerField(null=True)  # primary key of the Worker that has it in hand, while leased
    unsettled = models.JSONField(null=True)
    cancellation = models.ForeignKey(
        Cancellation,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )

    objects = LiveRunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state=LiveState.WAITING, lease_until__isnull=True, cancellation__isnull=True)
                | Q(state=LiveState.RUNNING, lease_until__isnull=False, cancellation__isnull=True)
                | Q(state=LiveState.CANCELLING, cancellation__isnull=False)
                | Q(state=LiveState.CANCELLED, lease_until__isnull=True, cancellation__isnull=False),
                name="live_run_state_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "due_at"], name="live_run_due"),
            models.Index(
                fields=["environment", "token"], condition=Q(token__isnull=False), name="live_run_token"
            ),
            models.Index(fields=["environment", "key"], condition=Q(key__isnull=False), name="live_run_key"),
            models.Index(
                fields=["environment", "recipient", "automation"],
                condition=Q(recipient__isnull=False),
                name="live_run_recipient",
            ),
            models.Index(fields=["environment", "automation"], name="live_run_automation"),
            models.Index(fields=["invocation"], name="live_run_invocation"),
            models.Index(
                fields=["environment"], condition=Q(unsettled__isnull=False), name="live_run_unsettled"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state} at {self.position}"
