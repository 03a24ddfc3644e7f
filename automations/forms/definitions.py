"""The form of an automation: what is typed, checked and said back at the field it is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from automations.definition import Problem
from automations.definition.fields import EXPRESSION_LENGTH
from automations.forms.json_field import JsonField
from automations.models import KEY_PATTERN

NOTE_LENGTH = 500


class PreviewForm(forms.Form):
    """A token expression and the sample that it is tried on."""

    token = forms.CharField(max_length=EXPRESSION_LENGTH, required=False, label="Cancellation token")
    on_unresolved_token = forms.ChoiceField(
        choices=[
            ("reject", "Refuse the invoke, naming the field"),
            ("run_without_token", "Run without a token"),
        ],
        initial="reject",
        label="When a field is missing",
        required=False,
    )
    sample_data = JsonField(of=dict, required=False, label="Sample data")
    sample_profile = JsonField(of=dict, required=False, label="Sample profile")


class AutomationForm(PreviewForm):
    """An automation template: its names, and the token and steps of its definition."""

    name = forms.CharField(max_length=200)
    key = forms.RegexField(
        KEY_PATTERN,
        max_length=100,
        error_messages={"invalid": "Up to 100 of a-z 0-9 _ . -, beginning with a letter or digit."},
    )
    alias = forms.CharField(max_length=255, required=False)
    steps = JsonField(of=list)
    revision = forms.IntegerField(min_value=1, max_value=2**31 - 1, widget=forms.HiddenInput, required=False)
    note = forms.CharField(max_length=NOTE_LENGTH, required=False)

    def definition(self, draft: dict[str, Any]) -> dict[str, Any]:
        """The draft with this form's token and steps; whatever else it says stays."""
        cleaned = self.cleaned_data
        definition = {**draft, "steps": cleaned["steps"]}
        wanted = {
            "cancellation_token": cleaned["token"],
            "on_unresolved_token": cleaned["on_unresolved_token"],
        }
        for name, value in wanted.items():
            if value and (value != "reject" or name in draft):
                definition[name] = value
            elif not value:
                definition.pop(name, None)
        return definition

    def point_out(self, problems: Iterable[Problem]) -> None:
        """Puts problems with the definition or the names at the fields they are about."""
        for problem in problems:
            self.add_error(_field_of(problem.pointer), f"{_shown(problem.pointer)}{problem.message}")


def _field_of(pointer: str) -> str | None:
    first = pointer.removeprefix("/definition").split("/")[1:2]
    names = {"cancellation_token": "token", "on_unresolved_token": "on_unresolved_token", "steps": "steps"}
    names |= {name: name for name in ("name", "key", "alias", "note")}
    return names.get(first[0]) if first else "steps"


def _shown(pointer: str) -> str:
    """The pointer where it leads into the steps; a field of the form needs none."""
    inner = pointer.removeprefix("/definition")
    return f"{inner}: " if inner.count("/") > 1 else ""
