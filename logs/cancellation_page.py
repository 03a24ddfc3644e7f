"""Gathers what the page of one cancellation says: what it called off, and what was in flight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from automations.cancellation import outstanding
from automations.definition import Definition
from automations.models import Cancellation, LiveRun, Run
from logs import rows, words
from logs.tags import tag

MOST_NAMED = 100  # of the steps in flight


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
        """The steps in flight, as the receipt lists them; the first MOST_NAMED of them by their place."""
        left = {(entry["run"], entry["fence"]) for entry in outstanding(self.row)}
        return [
            Step(
                run=UUID(entry["run"]), name=_named(entry, self._definitions),
                started_at=datetime.fromisoformat(entry["started_at"]),
                is_open=(entry["run"], entry["fence"]) in left,
            )
            for entry in self.row.in_flight or ()
        ]  # fmt: skip

    @cached_property
    def _definitions(self) -> Mapping[str, Definition]:
        """What the runs of the first steps in flight follow, by their public id."""
        uids = {entry["run"] for entry in (self.row.in_flight or ())[:MOST_NAMED]}
        runs = list(Run.objects.filter(uid__in=uids))
        of_runs = rows.definitions_of(runs)
        return {str(run.uid): of_runs[run.pk] for run in runs}

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


def _named(entry: Mapping[str, Any], definitions: Mapping[str, Definition]) -> str:
    """“Step 1 Send”, as the run's own page calls it."""
    definition = definitions.get(entry["run"])
    return words.step_named(definition, entry["step"]) if definition else words.called(entry["action"])
