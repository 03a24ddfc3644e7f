"""The heartbeat of a worker process."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models.functions import Now

SILENT_AFTER = timedelta(seconds=30)


class WorkerSet(models.QuerySet["Worker"]):
    """The worker processes of all machines."""

    def at_work(self) -> Self:
        """Those heard of within SILENT_AFTER and not found dead."""
        return self.filter(seen_at__gte=Now() - SILENT_AFTER, died_at=None)


class Worker(models.Model):
    """One row per worker process; those long silent are forgotten by housekeeping.

    `name` is of one process alone, ever. `worked_at` is when it last started or finished a step, or had room
    for none; `died_at` when its machine's watchdog found it dead: from then on nothing it had in hand can have an
    effect.
    """

    name = models.CharField(max_length=200, unique=True)
    host = models.CharField(max_length=150)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    worked_at = models.DateTimeField(null=True)
    died_at = models.DateTimeField(null=True)

    objects = WorkerSet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
