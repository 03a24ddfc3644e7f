"""Messages that are kept apart from the automations that send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.db import models

from automations import expressions
from automations.expressions import FieldWarning, Scope
from automations.models.environment import Environment

MESSAGE_KEY = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}"  # of templates, lists and providers: vendors' ids are such


class Wording(NamedTuple):
    """A title and a body, with expressions or without."""

    title: str
    body: str

    def filled_in(self, scope: Scope, *, owner: str = "", warnings: list[FieldWarning]) -> Wording:
        """Both interpolated as strings of a definition are. ExpressionError when one cannot be evaluated."""
        resolved = expressions.resolve_tree(self._asdict(), scope, owner=owner, warnings=warnings)
        return Wording(*(expressions.as_text(resolved[name]) for name in self._fields))


class MessageTemplate(models.Model):
    """A title and a body with expressions; `channels` holds, by channel, what is worded differently there."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="+")
    key = models.CharField(max_length=100)
    name = models.CharField(max_length=200, blank=True)
    title = models.TextField(blank=True)
    body = models.TextField(blank=True)
    channels = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    updated_by = models.CharField(max_length=200)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["environment", "key"], name="message_template_key_unique")
        ]
        indexes = [models.Index(fields=["environment", "id"], name="message_template_newest")]

    def __str__(self) -> str:
        return self.key

    def wording(self, channel: str) -> Wording:
        """What it says on that channel."""
        own: Mapping[str, str] = self.channels.get(channel, {})
        return Wording(title=own.get("title", self.title), body=own.get("body", self.body))
