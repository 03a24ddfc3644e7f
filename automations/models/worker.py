"""The heartbeat of a worker process."""

from __future__ import annotations

from django.db import models


class Worker(models.Model):
    """One row per worker process; silent ones are swept by housekeeping."""

    name = models.CharField(max_length=200, unique=True)
    host = models.CharField(max_length=150)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
