"""What is typed to call many runs off: which ones, and that one means it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from automations.cancellation import LONGEST_REASON
from automations.definition import LONGEST_TAG, parse_moment
from automations.definition.times import bounded
from automations.models import KEY_PATTERN, CancellationFilter

MOST_RECIPIENTS, MOST_RUNS, MOST_TAGS = 1_000, 1_000, 20
TYPED_ABOVE = 100  # runs; more are confirmed by typing their number


class ListField(forms.CharField):
    """Entries on lines of their own, blanks around them dropped."""

    widget = forms.Textarea

    def __init__(self, *, most: int, longest: int, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self.most, self.longest = most, longest

    def clean(self, value: Any) -> tuple[str, ...]:
        entries = [line.strip() for line in super().clean(value).splitlines()]
        kept = tuple(dict.fromkeys(entry for entry in entries if entry))
        if len(kept) > self.most:
            raise ValidationError(f"There may be at most {self.most:,}; these are {len(kept):,}.")
        if any(len(entry) > self.longest for entry in kept):
            raise ValidationError(f"Each may have at most {self.longest} characters.")
        return kept


class MomentField(forms.CharField):
    """A date and a time, in the zone of the page where none is written; one that leaves the calendar in another zone
    is brought into it, as a bound is."""

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            local = datetime.fromisoformat(text)
            return bounded(timezone.make_aware(local) if local.tzinfo is None else parse_moment(text))
        except (ValueError, OverflowError) as error:
            raise ValidationError("Write a date and a time, such as 2026-11-20T14:00.") from error


def _text(label: str, longest: int) -> forms.CharField:
    return forms.CharField(label=label, max_length=longest, required=False)


class FilterForm(forms.Form):
    """The runs meant: all that is filled in must fit."""

    run_ids = ListField(label=f"Run ids, one on a line, {MOST_RUNS:,} at most", most=MOST_RUNS, longest=36)
    token = _text("Token or key", 512)
    recipients = ListField(
        label=f"Recipients, one on a line, {MOST_RECIPIENTS:,} at most", most=MOST_RECIPIENTS, longest=255
    )
    automation = _text("Automation", 100)
    source = _text("Source", 255)
    key = _text("Key alone", 255)
    idempotency_key = _text("Idempotency key", 255)
    invocation = _text("Invocation", 36)
    tags = ListField(label=f"Tags, one on a line, {MOST_TAGS} at most", most=MOST_TAGS, longest=LONGEST_TAG)
    created_after = MomentField(label="Started from", required=False)
    created_before = MomentField(label="Started until", required=False)
    due_after = MomentField(label="Due from", required=False)
    due_before = MomentField(label="Due before", required=False)

    def clean_automation(self) -> str:
        key: str = self.cleaned_data["automation"]
        if key and not re.match(KEY_PATTERN, key):
            raise ValidationError("This is not an automation's key.")
        return key

    def clean_run_ids(self) -> tuple[UUID, ...]:
        try:
            return tuple(UUID(text) for text in self.cleaned_data["run_ids"])
        except ValueError as error:
            raise ValidationError("A run's id is a UUID.") from error

    def clean_invocation(self) -> UUID | None:
        text = self.cleaned_data["invocation"]
        try:
            return UUID(text) if text else None
        except ValueError as error:
            raise ValidationError("An invocation's id is a UUID.") from error

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not any(cleaned.values()):
            raise ValidationError("Say which runs: fill in at least one field.")
        return cleaned

    @property
    def filter(self) -> CancellationFilter:
        """Of a form that is valid."""
        given = {name: value for name, value in self.cleaned_data.items() if value}
        return CancellationFilter(**given)


class ConfirmForm(forms.Form):
    """`plan` is what was shown; above TYPED_ABOVE runs their number is typed."""

    plan = forms.CharField(max_length=1_000_000)
    reason = forms.CharField(max_length=LONGEST_REASON, required=False)
    count = forms.CharField(max_length=20, required=False)

    def __init__(self, *args: Any, most: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.most = most

    def clean_count(self) -> str:
        typed: str = self.cleaned_data["count"]
        is_needed = self.most is not None and self.most > TYPED_ABOVE
        if is_needed and re.sub(r"[\s,.]", "", typed) != str(self.most):
            raise ValidationError(f"Type {self.most:,} to confirm that so many runs are called off.")
        return typed
