"""The part of the one door that changes when a waiting run goes on, and nothing else about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from automations.models.live_run_trees import Trees
from automations.models.run_status import RunStatus
from automations.testpoints import testpoint


@dataclass(frozen=True, kw_only=True)
class Rescheduled:
    """A waiting run at `position` that was due at one time and is due at another now (UTC)."""

    position: str
    was_due_at: datetime
    due_at: datetime


class Timetable(Trees):
    """Attempts, fences and unsettled attempts are left as they are."""

    def reschedule(self, *, run_id: int, due_at: datetime, now: datetime) -> Rescheduled | None:
        """waiting -> waiting, due at another time; a time that has passed means now. None when the run is not
        waiting, or waits for a child, and then nothing moved; in all cases the row stays locked until the
        transaction ends.

        A run that is due already keeps its place among those due. One that was put aside is not any more; a start
        does that again, if it is due while its automation is held.
        """
        known = self.filter(pk=run_id).select_for_update()
        row = known.values_list("state", "awaits", "position", "due_at", "parked_due_at").first()
        if row is None or row[:2] != (RunStatus.WAITING, None):
            return None
        _, _, position, due, parked = row
        was_due_at = parked or due
        if due_at <= now:
            due_at = min(was_due_at, now)
        moved = self.filter(pk=run_id, state=RunStatus.WAITING).update(due_at=due_at, parked_due_at=None)
        if moved != 1:  # the row is locked: anything else is a broken guard
            raise AssertionError(f"run {run_id} was locked and waiting, yet not rescheduled")
        testpoint("reschedule.moved")
        return Rescheduled(position=position, was_due_at=was_due_at, due_at=due_at)
