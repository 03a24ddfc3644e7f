"""Runs given another time as it is written at first: by reading, checking, and writing what is no longer so."""

from __future__ import annotations

from datetime import datetime

from automations.models import LiveRun, Rescheduled
from automations.models.live_run import LiveRunQuerySet
from automations.models.live_run_times import Timetable
from automations.testpoints import testpoint
from tests.mutants.mutant import mutant, swap


def written(
    queryset: Timetable, row: LiveRun | None, due_at: datetime, now: datetime, **more: object
) -> Rescheduled | None:
    """Writes whatever has become of the row, and says that it was moved."""
    if row is None:
        return None
    due_at = min(row.due_at, now) if due_at <= now else due_at
    queryset.filter(pk=row.pk).update(due_at=due_at, **more)
    testpoint("reschedule.moved")
    return Rescheduled(position=row.position, was_due_at=row.due_at, due_at=due_at)


@mutant(only="postgresql")
def reschedule_looks_first() -> None:
    """A run is given another time only while its row is locked: one that was started meanwhile is due by rule."""

    def reschedule(
        self: LiveRunQuerySet, *, run_id: int, due_at: datetime, now: datetime
    ) -> Rescheduled | None:
        return written(self, self.filter(pk=run_id, state="waiting").first(), due_at, now)

    swap(Timetable, "reschedule", reschedule)


@mutant()
def reschedule_looks_at_no_state() -> None:
    """Only a run that waits is given another time; one that runs or was called off is named as what it is."""

    def reschedule(
        self: LiveRunQuerySet, *, run_id: int, due_at: datetime, now: datetime
    ) -> Rescheduled | None:
        return written(self, self.filter(pk=run_id).select_for_update().first(), due_at, now)

    swap(Timetable, "reschedule", reschedule)


@mutant()
def reschedule_forgets_unsettled() -> None:
    """An attempt that was taken back stays on receipts until it is known to have ended, whenever its run goes on."""

    def reschedule(
        self: LiveRunQuerySet, *, run_id: int, due_at: datetime, now: datetime
    ) -> Rescheduled | None:
        row = self.filter(pk=run_id, state="waiting").select_for_update().first()
        return written(self, row, due_at, now, unsettled=None)

    swap(Timetable, "reschedule", reschedule)
