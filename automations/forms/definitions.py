"""The forms of an automation's names, and of the sample that its token is tried on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from automations.definition import Problem
from automations.definition.fields import EXPRESSION_LENGTH
from automations.forms.json_field import JsonField
from automations.forms.sentences import sentence
from automations.models import KEY_PATTERN, Refusal

NOTE_LENGTH = 500
DESCRIPTION_LENGTH = 2_000


class SampleForm(forms.Form):
    """What one run is, or would be, invoked with."""

    sample_data = JsonField(of=dict, required=False, label="Data")
    sample_profile = JsonField(of=dict, required=False, label="Profile")
    sample_recipient = forms.CharField(max_length=255, required=False, label="Recipient")


class PreviewForm(SampleForm):
    """A token expression and the sample that it is tried on."""

    cancellation_token = forms.CharField(
        max_length=EXPRESSION_LENGTH, required=False, label="Cancellation token"
    )
    on_unresolved_token = forms.CharField(max_length=40, required=False)


class InvokeForm(SampleForm):
    """One run, to be started once however often it is sent."""

    idempotency_key = forms.RegexField(
        r"[\x20-\x7e]{1,255}\Z", max_length=255, required=False,
        error_messages={"invalid": "Printable ASCII characters only."},
    )  # fmt: skip
    skips_delays = forms.BooleanField(required=False)

    def point_out(self, refusal: Refusal) -> None:
        """Puts what the verb said at the field it is about."""
        said = [(problem.pointer, problem.message) for problem in refusal.problems] or [("", refusal.message)]
        for pointer, message in said:
            first = f"sample_{pointer.split('/')[1]}" if pointer else ""
            self.add_error(first if first in self.fields else None, sentence(message))


class NamesForm(forms.Form):
    """What an automation template is called; none of it changes what its runs do."""

    name = forms.CharField(max_length=200)
    alias = forms.CharField(max_length=255, required=False)
    description = forms.CharField(max_length=DESCRIPTION_LENGTH, required=False, widget=forms.Textarea)

    def clean_alias(self) -> str | None:
        return self.cleaned_data["alias"] or None

    def point_out(self, problems: Iterable[Problem]) -> None:
        """Puts problems with the names at the fields they are about."""
        for problem in problems:
            name = problem.pointer.removeprefix("/")
            self.add_error(name if name in self.fields else None, sentence(problem.message))


class NewForm(NamesForm):
    """A new one: for good its key, and what it begins with."""

    key = forms.RegexField(
        KEY_PATTERN,
        max_length=100,
        error_messages={"invalid": "Up to 100 of a-z 0-9 _ . -, beginning with a letter or digit."},
    )
    sample = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, samples: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["sample"].choices = [("", "No steps yet"), *samples]  # type: ignore[attr-defined]
