"""The starts that `on_cancel` asks for: one row from the moment a run is archived as cancelled until the run
that follows it is accepted."""

from __future__ import annotations

from django.db import models

from automations.models.cancellation import Cancellation
from automations.models.environment import Environment
from automations.models.run import Run


class OnCancelStart(models.Model):
    """`automation` is the key of what to invoke. Whoever takes it in hand moves `due_at` on, as a lease."""

    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    cancellation = models.ForeignKey(
        Cancellation, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    automation = models.CharField(max_length=100)
    due_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="on_cancel_start_due")]

    def __str__(self) -> str:
        return f"{self.run_id} then {self.automation}"
