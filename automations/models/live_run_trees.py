"""The part of the one door that lets a run wait until another one, its child, has ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Self

from django.db.models import Exists, OuterRef, Q

from automations.models.cancellation import Cancellation
from automations.models.definitions import definition_of
from automations.models.descent import BORN
from automations.models.event import Event, EventKind
from automations.models.live_run_bars import BarredRuns
from automations.models.run import Run
from automations.models.run_status import RunStatus
from automations.models.statements import insert
from automations.testpoints import testpoint


class Ended(NamedTuple):
    """A child that ends in this transaction, and how."""

    run_id: int
    uid: str
    parent_id: int
    status: str


class Awaiting(NamedTuple):
    """A run, locked, that waits at `position` for its child to end."""

    run_id: int
    child_id: int | None
    position: str
    invocation_id: int


class Trees(BarredRuns):
    """A run that waits for a child has a place to go on from, and is due when the child's end makes it so."""

    def await_child(self, *, run_id: int, child_id: int) -> int:
        """A run that its transition has put to rest until this child ends; 0 when it was called off since."""
        return self.filter(pk=run_id, state=RunStatus.WAITING).update(awaits=child_id)

    def awaiting(self, children: Sequence[tuple[int, int]]) -> list[Awaiting]:
        """The runs that wait for one of these children (child, parent), locked until the transaction ends.

        Asked for before the children are written: a cancel goes from the parent to the child as well.
        """
        if not children:
            return []
        parents, pks = {parent for _, parent in children}, [child for child, _ in children]
        rows = self.filter(pk__in=parents, awaits__in=pks, state=RunStatus.WAITING)
        locked = rows.select_for_update().order_by("pk")
        return [Awaiting(*row) for row in locked.values_list("pk", "awaits", "position", "invocation_id")]

    def wake(self, waiting: Sequence[Awaiting], ended: Sequence[Ended], *, now: datetime) -> int:
        """waiting -> waiting, due now: those of the runs whose child has ended. Their logs say how."""
        children = {child.run_id: child for child in ended}
        ready = [row.run_id for row in waiting if row.child_id in children]
        if not ready:
            return 0
        # Locked, and yet perhaps called off since, by this very transaction: a child may cancel its parent.
        rows = self.filter(pk__in=ready, awaits__in=children, state=RunStatus.WAITING)
        pks = set(rows.values_list("pk", flat=True))
        if rows.update(due_at=now, awaits=None) != len(pks):
            raise AssertionError(f"{pks} were locked and waiting, yet not woken")
        woken = [(row, children[row.child_id]) for row in waiting if row.run_id in pks and row.child_id]
        versions = dict(Run.objects.filter(pk__in=pks).values_list("pk", "version_id"))
        insert(_child_ended(row, child, version_id=versions[row.run_id], now=now) for row, child in woken)
        testpoint("wake.moved")
        return len(woken)

    def wake_left(self, *, now: datetime, but: Q | None = None) -> int:
        """The same for those, among the runs filtered, whose child has ended before, `but` for children like that (over
        Run); the number woken. For runs that have been there only since this transaction, or behind the exclusive
        gate: a child that is ending may not have seen them.
        """
        left = self.filter(state=RunStatus.WAITING, awaits__isnull=False)
        waiting = left.filter(~Exists(self.model.objects.filter(pk=OuterRef("awaits"))))
        locked = waiting.select_for_update(of=("self",)).order_by("pk")
        rows = [Awaiting(*row) for row in locked.values_list("pk", "awaits", "position", "invocation_id")]
        if not rows:
            return 0
        children = Run.objects.filter(pk__in=[row.child_id for row in rows], status__isnull=False)
        if but is not None:
            children = children.exclude(but)
        told = children.values_list("pk", "uid", "parent_id", "status")
        ended = [
            Ended(pk, str(uid), parent_id, status)
            for pk, uid, parent_id, status in told
            if parent_id is not None and status is not None
        ]
        return self.model.objects.wake(rows, ended, now=now)

    def wake_restored(self, undone: Cancellation, *, now: datetime) -> int:
        """The same for the runs that an undone cancellation has let go on, behind the exclusive gate. A child that was
        called off itself, and whose cancellation is undone too, comes back: it is waited for."""
        comes_back = Q(cancellation=undone.pk) | Q(cancellation__undone_at__isnull=False)
        return self.resting(undone).wake_left(now=now, but=comes_back)

    def resting(self, undone: Cancellation) -> Self:
        """The runs that wait for a child, among those that the cancellation may have called off."""
        mine = self.filter(undone.scope.condition() | BORN, environment=undone.environment_id)
        return mine.filter(state=RunStatus.WAITING, awaits__isnull=False)


def _child_ended(row: Awaiting, child: Ended, *, version_id: int | None, now: datetime) -> Event:
    definition = definition_of(version_id=version_id, invocation_id=row.invocation_id)
    step = definition.before(row.position)
    return Event(
        run_id=row.run_id, at=now, kind=EventKind.CHILD_ENDED, step=step.name if step else "",
        data={"run": child.uid, "status": child.status},
    )  # fmt: skip
