"""What a worker tells of an attempt that is not its own any more."""

from __future__ import annotations

from datetime import datetime

from automations.execution.tasks import Done
from automations.models import Claim, Event, EventKind, LiveRun
from automations.timeline import ENDS

_TOLD = [
    kind for kind in ENDS if kind != EventKind.SETTLED
]  # which is house-keeping's word, not the worker's


def settle_late(item: Done, *, now: datetime) -> None:
    """The answer of a worker whose attempt was taken back: it settles that attempt and is logged, no more. Nor is
    it logged where the log has it: a turn is repeated when the connection was cut, and its COMMIT may have come
    through."""
    claim, outcome, step = item.task.claim, item.outcome, item.task.step
    row = LiveRun.objects.filter(pk=claim.run_id).select_for_update().first()
    if row is not None:
        LiveRun.objects.settle(row, fences=[claim.fence])
    if outcome is not None and step is not None and not _is_logged(claim):
        Event.objects.create(
            run_id=claim.run_id, at=now, kind=EventKind.LATE_RESULT, step=step.name, attempt=claim.attempt,
            data={
                "fence": claim.fence, "started_at": claim.started_at.isoformat(), "outcome": outcome.status,
                "output": outcome.output, "error": outcome.error,
            },
        )  # fmt: skip


def _is_logged(claim: Claim) -> bool:
    """Whether the log says what came of the attempt, by its worker's own word."""
    told = Event.objects.filter(run_id=claim.run_id, kind__in=_TOLD, data__fence=claim.fence)
    return told.exists()
