"""Gathers what the page of one cancellation says: what it called off, and what was in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from uuid import UUID

from automations.cancellation import outstanding
from automations.models import Cancellation, LiveRun
from logs.tags import tag


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that was in flight at the cancel, and whether it is known to have ended."""

    run: UUID
    name: str
    started_at: datetime
    is_open: bool


@dataclass(frozen=True)
class CancellationPage:
    """One cancellation as its page shows it."""

    row: Cancellation

    @cached_property
    def steps(self) -> Sequence[Step]:
        """The steps in flight, as the receipt lists them."""
        left = {(entry["run"], entry["fence"]) for entry in outstanding(self.row)}
        return [
            Step(
                run=UUID(entry["run"]), name=f"{entry['step']} {entry['action'].capitalize()}",
                started_at=datetime.fromisoformat(entry["started_at"]),
                is_open=(entry["run"], entry["fence"]) in left,
            )
            for entry in self.row.in_flight or ()
        ]  # fmt: skip

    @cached_property
    def open_steps(self) -> int:
        return sum(step.is_open for step in self.steps)

    @cached_property
    def written(self) -> int | None:
        """Of a bar that is being swept, how many runs bear its state by now, in percent of those known to be its."""
        row = self.row
        if row.swept_at is not None:
            return None
        live = LiveRun.objects.within(row.environment_id).filter(row.scope.condition())
        last = row.as_of_run or 0
        first = live.order_by("pk").values_list("pk", flat=True).first() or last
        return 100 if last <= first else min(99, max(0, 100 * (row.swept_to - first) // (last - first)))

    @property
    def may_change(self) -> bool:
        """Whether there is something to wait for."""
        row = self.row
        if row.undone_at is not None and not row.is_carried_out:
            return False
        restoring = row.undone_at is not None and row.restored_at is None
        return restoring or not row.counted or row.in_flight is None or bool(self.open_steps)

    @property
    def tag(self) -> str:
        row = self.row
        known = (row.counted, row.cancelled, row.swept_to, row.in_flight is None, self.open_steps)
        return tag(row.pk, known, row.undone_at, row.restored, row.restored_at)
