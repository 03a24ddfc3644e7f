"""What is typed about lists of recipients."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from automations.forms.directory import KEY_FAULT, RefusableForm
from automations.models import LONGEST_RECIPIENT, MESSAGE_KEY, MOST_MEMBERS

LONGEST_NAME = 200


class MembersField(forms.CharField):
    """Ids of recipients, one on a line, each once; lines without any are passed over."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"label": "Recipients", "widget": forms.Textarea, **kwargs})

    def clean(self, value: Any) -> list[str]:
        typed = super().clean(value)
        ids = list(dict.fromkeys(line.strip() for line in typed.splitlines() if line.strip()))
        if len(ids) > MOST_MEMBERS:
            raise ValidationError(f"A list has at most {MOST_MEMBERS:,} members.")
        for one in ids:
            if len(one) > LONGEST_RECIPIENT or not one.isprintable():
                raise ValidationError(
                    f"“{one[:40]}” is no id: it has up to {LONGEST_RECIPIENT} printable characters."
                )
        return ids


class NewListForm(RefusableForm):
    """A list and who is on it."""

    key = forms.RegexField(rf"\A{MESSAGE_KEY}\Z", max_length=100, error_messages={"invalid": KEY_FAULT})
    name = forms.CharField(max_length=LONGEST_NAME, required=False)
    members = MembersField(required=False)


class NameForm(RefusableForm):
    """What a list is called."""

    name = forms.CharField(max_length=LONGEST_NAME, required=False)


class MembersForm(RefusableForm):
    """Who is put on a list, or taken off."""

    members = MembersField()


class RemoveForm(RefusableForm):
    """The key of what goes, such as a list, typed, for good measure."""

    typed = forms.CharField(max_length=255, required=False, strip=False)

    def __init__(self, *args: Any, key: str, what: str = "list", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted, self.what = key, what

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self.wanted:
            raise ValidationError(f"Type “{self.wanted}” to remove this {self.what}.")
        return typed
