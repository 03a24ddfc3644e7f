"""The one door: every change of an unfinished run's state is a guarded write in this module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial, reduce
from itertools import groupby
from operator import or_
from typing import Any

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Now

from automations.models.automation import Automation
from automations.models.called_off import CalledOff, beside
from automations.models.cancellation import Cancellation
from automations.models.cancellation_filter import CancellationFilter
from automations.models.descent import children_and_moment
from automations.models.environment import Environment
from automations.models.gate import database_now
from automations.models.invocation import Invocation
from automations.models.live_run_bars import Hit, cancelling, counting_finished, returning, settling
from automations.models.live_run_moves import (
    DUE_FIRST,
    LOOKUPS,
    TARGET,
    Claim,
    Move,
    at,
    by_fence,
    claimed,
    ending,
    queues,
)
from automations.models.live_run_trees import Ended
from automations.models.live_run_undo import RestoredRuns
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


REAL_DUE_AT = Coalesce("parked_due_at", "due_at")
LEASED = (LiveState.RUNNING, LiveState.CANCELLING)


class LiveRunQuerySet(RestoredRuns):
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
        bars: Sequence[str] = (),
        held: bool = False,
    ) -> list[Claim]:
        """waiting -> running for at most `limit` due runs, oldest first; their effects begin after the commit.

        With `late`, runs due for more than LATE_AFTER come last, and no more than so many of them. Rows another
        transaction holds are passed over; on SQLite the transaction is the only writer. Where bars stand,
        with these labels, the runs they are for are called off instead; where automations are `held`, their runs
        are put aside.
        """
        claims: list[Claim] = []
        if held:
            self.park(environment_id=environment_id, now=now)
        for when, most in queues(limit=limit, late=late, now=now):
            room = min(most, limit - len(claims))
            if room <= 0:
                continue
            start = partial(claimed, environment_id, when, held=held, now=now, lease=lease, worker=worker)
            started = start(but_for=bars, room=room)
            if bars and (left := room - len(started)):  # perhaps for those that may be under one
                among = self._spared_by_bars(when, environment_id=environment_id, room=left)
                started += start(among=among, room=left)
            claims += sorted(started, key=DUE_FIRST)
        return claims

    def _spared_by_bars(self, when: Mapping[str, datetime], *, environment_id: int, room: int) -> set[int]:
        """The due runs, locked, that are under no bar; the others are called off."""
        conditions = {LOOKUPS[text]: moment for text, moment in when.items()}
        due = self.within(environment_id).filter(state=LiveState.WAITING, **conditions).order_by("due_at")
        pks = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:room])
        return set(pks) - self.give_to_bars(pks)

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
            if status:
                moved += self._end(members, status=status, reason=reason, has_errors=has_errors, now=now)
            else:
                moved += self._mine(members).filter(state=LiveState.RUNNING).update(
                    state=LiveState.WAITING, position=position, due_at=due_at, attempt=attempt,
                    lease_until=None, started_at=None,
                )  # fmt: skip
        return moved

    def _mine(self, held: Iterable[Claim | Move]) -> LiveRunQuerySet:
        """The rows held under these fences."""
        mine = (Q(pk__in=pks, fence=fence) for fence, pks in by_fence(held).items())
        return self.filter(reduce(or_, mine, Q(pk__in=[])))

    def _end(
        self, moves: Sequence[Move], *, status: str, reason: str, has_errors: bool, now: datetime
    ) -> int:
        """running -> the end: the live rows go, and Run takes the status; the number gone. A caller who gets fewer
        than asked for rolls back."""
        *gone, _ = fetch(ending(moves, end=[status, reason, has_errors, at(now)]))
        return sum(map(len, gone))

    def let_go(self, claims: Iterable[Claim], *, of_effects: bool = True) -> None:
        """An attempt ended while its run was cancelling: the lease goes, the run is cancelled once no other
        attempt of it is unsettled. Only for runs locked by `hold`.

        `started_at` stays for steps with an effect, so that an undo does not repeat them.
        """
        settled = When(unsettled__isnull=True, then=Value(LiveState.CANCELLED))
        mark = {} if of_effects else {"started_at": None}
        self._mine(claims).filter(state=LiveState.CANCELLING).update(
            state=Case(settled, default=F("state")), lease_until=None, **mark
        )

    # -- cancel -----------------------------------------------------------------------------------------

    def cancel(self, *, cancellation: Cancellation, scope: CancellationFilter) -> Hit:
        """waiting -> cancelled, at once and for good; running -> cancelling, which starts nothing more. All beneath
        the runs moved are moved with them.

        One UPDATE: between two, a run could pass from the second one's state to the first one's and escape.
        A waiting run with unsettled attempts becomes cancelling until they settle. Written out, since the
        acknowledgement waits for it (docs/decisions/0003-raw-statements.md; the tests hold it
        against the ORM's).
        """
        moved, ((finished,),), ((has_children, now),) = fetch([
            returning(cancelling(cancellation, scope)), counting_finished(cancellation, scope),
            children_and_moment(cancellation.environment_id),
        ])  # fmt: skip
        if has_children:
            moved += self.descend(moved, cancellation=cancellation)
            now = None
        before = finished and LiveState.RUNNING in scope.states
        ending = settling(cancellation, scope, beneath=has_children) if before else []
        return Hit(sorted(moved), finished, ending, now or database_now())

    # -- reap and settle --------------------------------------------------------------------------------

    def reap(self, row: LiveRun, *, move: Move | None, lost: Mapping[str, Any]) -> int:
        """Takes back an attempt whose lease ran out: running -> waiting again (or, by `move`, the end), and
        cancelling stays; the attempt is unsettled until its worker reports or is known dead."""
        unsettled = [*(row.unsettled or []), dict(lost)]
        mine = self.filter(pk=row.pk, fence=row.fence, lease_until=row.lease_until)
        if row.state == LiveState.CANCELLING or move is None:
            return mine.filter(state=LiveState.CANCELLING).update(
                unsettled=unsettled, lease_until=None, started_at=None
            )
        running = mine.filter(state=LiveState.RUNNING)
        if move.status:
            return self._end(
                [move], status=move.status, reason=move.status_reason, has_errors=True, now=move.due_at
            )
        return running.update(
            state=LiveState.WAITING, position=move.position, due_at=move.due_at, unsettled=unsettled,
            lease_until=None, started_at=None,
        )  # fmt: skip

    def settle(self, row: LiveRun, *, fences: Iterable[int]) -> int:
        """Strikes settled attempts from a locked run; the last one makes a cancelling run cancelled. Then
        `started_at` says that the step at which the run stands was in flight, so that an undo does not repeat it.
        """
        gone = set(fences)
        mark = {}
        for entry in row.unsettled or []:
            if entry["fence"] in gone and entry.get("position") == row.position and row.cancellation_id:
                mark["started_at"] = row.started_at or datetime.fromisoformat(entry["started_at"])
        left = [entry for entry in row.unsettled or [] if entry["fence"] not in gone] or None
        mine = self.filter(pk=row.pk, fence=row.fence)
        if left is None and row.lease_until is None:
            state = Case(
                When(state=LiveState.CANCELLING, then=Value(LiveState.CANCELLED)), default=F("state")
            )
            return mine.update(unsettled=None, state=state, **mark)
        return mine.update(unsettled=left, **mark)

    # -- archive ----------------------------------------------------------------------------------------

    def archive(self, *, cancellation: Cancellation, limit: int, reason: str) -> int:
        """Takes at most `limit` cancelled runs of that cancellation, among those filtered, into history; `reason`
        is what their status_reason will say. Runs that wait for one of them go on."""
        rows = [
            CalledOff(*row)
            for row in self.filter(cancellation=cancellation.pk, state=LiveState.CANCELLED)
            .select_for_update(skip_locked=True)
            .values_list(
                "pk", "position", REAL_DUE_AT, "attempt", "fence", "on_cancel", "concurrency_key", "started_at",
                "awaits", "uid", "parent_id",
            )[:limit]
        ]  # fmt: skip
        if not rows:
            return 0
        testpoint("archive.read")
        pks = [row.run_id for row in rows]
        ended = [
            Ended(row.run_id, str(row.uid), row.parent_id, RunStatus.CANCELLED)
            for row in rows
            if row.parent_id
        ]
        waiting = self.model.objects.awaiting([(child.run_id, child.parent_id) for child in ended])
        gone, _ = self.model.objects.filter(pk__in=pks, state=LiveState.CANCELLED).delete()
        if gone != len(pks):
            raise AssertionError(f"{gone} of {len(pks)} locked runs were cancelled")
        Run.objects.filter(pk__in=pks, status__isnull=True).update(
            status=RunStatus.CANCELLED,
            status_reason=reason,
            finished_at=cancellation.as_of,
            cancellation=cancellation.pk,
        )
        insert(beside(rows, cancellation=cancellation))
        self.model.objects.wake(waiting, ended, now=cancellation.as_of)
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
    concurrency_key = models.CharField(max_length=TOKEN_LENGTH, null=True)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    parked_due_at = models.DateTimeField(null=True)  # of one that is put aside: when it is due in truth
    state = models.CharField(max_length=10, choices=LiveState, default=LiveState.WAITING)
    position = models.CharField(max_length=100)
    attempt = models.PositiveIntegerField(default=0)
    fence = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    worker = models.BigIntegerField(null=True)  # primary key of the Worker that has it in hand, while leased
    unsettled = models.JSONField(null=True)
    on_cancel = models.CharField(max_length=100, null=True)  # the automation to invoke once it is cancelled
    awaits = models.BigIntegerField(null=True)  # primary key of the child whose end makes it due
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
            *(
                models.Index(
                    fields=["environment", column],
                    condition=Q(**{f"{column}__isnull": False}),
                    name=f"live_run_{column}",
                )
                for column in ("token", "key", "concurrency_key", "tenant")
            ),
            models.Index(
                fields=["environment", "recipient", "automation"],
                condition=Q(recipient__isnull=False),
                name="live_run_recipient",
            ),
            models.Index(fields=["environment", "automation"], name="live_run_automation"),
            models.Index(fields=["environment", "source"], name="live_run_source"),
            models.Index(fields=["invocation"], name="live_run_invocation"),
            models.Index(fields=["environment"], condition=Q(parent__isnull=False), name="live_run_child"),
            models.Index(
                fields=["environment"], condition=Q(unsettled__isnull=False), name="live_run_unsettled"
            ),
            models.Index(
                fields=["environment", "automation"],
                condition=Q(parked_due_at__isnull=False),
                name="live_run_parked",
            ),
        ]

    @property
    def open_fences(self) -> frozenset[int]:
        """The attempts that are not known to have ended."""
        lost = frozenset(entry["fence"] for entry in self.unsettled or ())
        return lost | {self.fence} if self.lease_until is not None else lost

    def __str__(self) -> str:
        return f"{self.pk} {self.state} at {self.position}"
