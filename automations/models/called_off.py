"""What is written beside the runs that are archived as cancelled: the log's word, and what is owed to others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models

from automations.models.cancellation import Cancellation
from automations.models.event import Event, EventKind
from automations.models.on_cancel import OnCancelStart
from automations.models.run_status import RunStatus
from automations.models.webhook import Ending, owed


class CalledOff(NamedTuple):
    """What the live row of a cancelled run said last."""

    run_id: int
    position: str
    due_at: datetime
    attempt: int
    fence: int
    on_cancel: str | None
    concurrency_key: str | None = None
    started_at: datetime | None = None
    awaits: int | None = None
    uid: UUID | None = None
    parent_id: int | None = None

    def as_json(self) -> dict[str, Any]:
        """What an undo needs to make the row again; a time of start says that its step was in flight."""
        told = {"due_at": self.due_at.isoformat(), "fence": self.fence}
        also = {
            "on_cancel": self.on_cancel, "concurrency_key": self.concurrency_key,
            "started_at": self.started_at and self.started_at.isoformat(), "awaits": self.awaits,
        }  # fmt: skip
        return told | {name: value for name, value in also.items() if value is not None}


def beside(
    runs: Sequence[CalledOff], *, cancellation: Cancellation, at: datetime | None = None
) -> list[models.Model]:
    """The rows for the transaction that archives these runs of the cancellation, which called them off when it was
    acknowledged or, where that is given, `at` another moment."""
    at = at or cancellation.as_of
    events = [
        Event(
            run_id=run.run_id, at=at, kind=EventKind.CANCELLED, step=run.position, attempt=run.attempt,
            data={**run.as_json(), "cancellation": str(cancellation.pk)},
        )
        for run in runs
    ]  # fmt: skip
    endings = [Ending(run.run_id, RunStatus.CANCELLED, cancellation.pk) for run in runs]
    starts = [
        OnCancelStart(
            environment_id=cancellation.environment_id, run_id=run.run_id, cancellation_id=cancellation.pk,
            automation=run.on_cancel, due_at=at,
        )
        for run in runs
        if run.on_cancel is not None
    ]  # fmt: skip
    return [*events, *owed(endings, environment_id=cancellation.environment_id, at=at), *starts]
