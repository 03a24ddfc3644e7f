"""An environment (production, test, ...): the wall that everything else stands within."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models

DEFAULT_ENVIRONMENT = "production"
ENVIRONMENT_KEY = r"^[a-z][a-z0-9-]{0,31}\Z"
HUES = 5


class Environment(models.Model):
    """Keys, automations and runs of one environment never see another's."""

    key = models.CharField(max_length=32, unique=True, validators=[RegexValidator(ENVIRONMENT_KEY)])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.key

    @property
    def hue(self) -> int:
        """Which of the HUES pages of it are marked with: production has the first for itself."""
        return 0 if self.key == DEFAULT_ENVIRONMENT else 1 + self.pk % (HUES - 1)
