"""What is written beside the runs that are archived as cancelled: the log's word, and what is owed to others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
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
    uid: UUID
    parent_id: int | None


def beside(runs: Sequence[CalledOff], *, cancellation: Cancellation) -> list[models.Model]:
    """The rows for the transaction that archives these runs of the cancellation."""
    at = cancellation.as_of
    events = [
        Event(
            run_id=run.run_id, at=at, kind=EventKind.CANCELLED, step=run.position, attempt=run.attempt,
            data={
                "due_at": run.due_at.isoformat(), "fence": run.fence, "cancellation": str(cancellation.pk)
            },
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
