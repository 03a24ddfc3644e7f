"""What becomes of runs whose time passed while they were called off or held."""

from __future__ import annotations

from django.db import models


class Overdue(models.TextChoices):
    """How they go on: at once; later by as long as it lasted; at once, without the step that was due."""

    FIRE_NOW = "fire_now"
    SHIFT = "shift"
    SKIP = "skip"
