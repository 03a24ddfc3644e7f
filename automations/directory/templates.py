"""Message templates are kept, tried out and removed here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from automations.expressions import ExpressionError, FieldWarning, Scope
from automations.models import Environment, MessageTemplate, No, Refusal, Wording, audit, database_now

MOST_TEMPLATES = 1_000
LONGEST_TITLE = 2_000
LONGEST_BODY = 64 * 1024


def find(*, environment: Environment, key: str) -> MessageTemplate:
    """The message template. Refusal when there is none."""
    row = MessageTemplate.objects.filter(environment=environment, key=key).first()
    if row is None:
        raise _unknown(key)
    return row


def create(*, environment: Environment, key: str, by: str, said: Mapping[str, Any]) -> MessageTemplate:
    """A new one that says `said` (name, title, body, channels). Refusal for a key that is taken, and one too many."""
    if MessageTemplate.objects.filter(environment=environment).count() >= MOST_TEMPLATES:
        message = f"an environment has at most {MOST_TEMPLATES:,} message templates"
        raise Refusal(No.INVALID, "too_many_templates", message)
    now = database_now()
    try:
        with transaction.atomic():
            row = MessageTemplate.objects.create(
                environment=environment, key=key, created_at=now, updated_at=now, updated_by=by, **said
            )
            _note("made", row, by=by, after=said)
            return row
    except IntegrityError as error:
        raise Refusal.at("/key", "taken", f"there is a message template “{key}” already") from error


def replace(*, environment: Environment, key: str, by: str, said: Mapping[str, Any]) -> MessageTemplate:
    """The template, which says `said` and nothing else from now on: steps performed later send that."""
    with transaction.atomic():
        row = _locked(environment, key)
        before = {name: getattr(row, name) for name in said}
        for name, value in {**said, "updated_at": database_now(), "updated_by": by}.items():
            setattr(row, name, value)
        row.save()
        _note("changed", row, by=by, before=before, after=said)
        return row


def remove(*, environment: Environment, key: str, by: str) -> None:
    """Forgets the template: a step that would send it fails. Refusal when there is none."""
    with transaction.atomic():
        row = _locked(environment, key)
        _note("removed", row, by=by, before={"name": row.name, "title": row.title, "body": row.body})
        row.delete()


def preview(
    template: MessageTemplate,
    *,
    data: Mapping[str, Any],
    profile: Mapping[str, Any],
    recipient: str | None,
    channel: str,
    now: datetime,
    owner: str,
) -> tuple[Wording, list[FieldWarning]]:
    """What it would say, and what was missing for it. Refusal when an expression of it has no value."""
    scope = Scope(
        data=dict(data), profile=dict(profile), refs={"recipient": recipient}, now=now, seed="preview"
    )
    warnings: list[FieldWarning] = []
    try:
        wording = template.wording(channel).filled_in(scope, owner=owner, warnings=warnings)
    except ExpressionError as error:
        kind = No.UNAVAILABLE if error.retryable else No.INVALID
        raise Refusal(kind, error.kind, f"an expression has no value: {error.message}") from error
    return wording, warnings


def _locked(environment: Environment, key: str) -> MessageTemplate:
    """The template, locked until the transaction ends."""
    rows = MessageTemplate.objects.select_for_update().filter(environment=environment, key=key)
    if (row := rows.first()) is None:
        raise _unknown(key)
    return row


def _note(what: str, row: MessageTemplate, *, by: str, **said: Mapping[str, Any]) -> None:
    audit(f"message.{what}", of=f"message/{row.key}", by=by, environment_id=row.environment_id, **said)


def _unknown(key: str) -> Refusal:
    return Refusal(No.NOT_FOUND, "message_template_not_found", f"there is no message template “{key[:100]}”")
