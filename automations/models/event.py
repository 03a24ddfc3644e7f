"""The append-only log of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.db import models

from automations.models.run import Run


class EventKind(models.TextChoices):
    """What can happen to a run."""

    INVOKED = "invoked"
    STEP_COMPLETED = "step_completed"
    STEP_FAILED = "step_failed"
    STEP_SKIPPED = "step_skipped"
    STEP_RETRIED = "step_retried"
    ADVANCED = "advanced"
    LATE_RESULT = "late_result"
    REAPED = "reaped"
    SETTLED = "settled"
    CANCELLED = "cancelled"
    FOLLOWED = "followed"
    RESCHEDULED = "rescheduled"
    CARRIED = "carried"
    REPLAYED = "replayed"
    RESTORED = "restored"
    CHILD_ENDED = "child_ended"


class Event(models.Model):
    """Never updated. That a step has started is LiveRun's to know; the event that ends it says when it did. The
    event that ends a step carries its output, the next position and its due time;
    `invoked` carries the first; `cancelled` carries what the cancel found. `data["folded"]` lists the steps
    without an effect of their own that were carried out in the same transition (docs/architecture.md). `carried`
    says what came of a step of the run that this one replays, `replayed` that another run replays this one;
    `restored` that a cancellation was undone, and where the run goes on; `child_ended` how the child ended that
    this run waited for."""

    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="events", db_constraint=False, db_index=False
    )
    at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=EventKind)
    step = models.CharField(max_length=100, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["run", "id"], name="event_run")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.kind}"


@dataclass(kw_only=True, slots=True)
class Entry:
    """What an Event is made of, for `insert`: a row as it is, where a model takes as long to make as to store."""

    model: ClassVar[type[Event]] = Event

    run_id: int
    at: datetime
    kind: EventKind
    data: Mapping[str, Any]
    step: str = ""
    attempt: int = 0
