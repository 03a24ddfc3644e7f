"""What is typed about whom an environment tells, sends to, and sends through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from automations.definition import CHANNEL_NAMES
from automations.directory.templates import LONGEST_BODY, LONGEST_TITLE
from automations.forms.json_field import JsonField
from automations.forms.sentences import sentence
from automations.models import MESSAGE_KEY, RUN_EVENTS, Provider, Refusal

KEY_FAULT = "Up to 100 of A-Z a-z 0-9 _ . : -, beginning with a letter or digit."


class RefusableForm(forms.Form):
    """A form that a verb may refuse."""

    def point_out(self, refusal: Refusal) -> None:
        """Puts what was refused at the field it is about, else above the form."""
        for problem in refusal.problems:
            name = problem.pointer.split("/")[1] if problem.pointer else ""
            self.add_error(name if name in self.fields else None, sentence(problem.message))
        if not refusal.problems:
            self.add_error(None, sentence(refusal.message))


class WebhookForm(RefusableForm):
    """An endpoint: where, and of what it is told."""

    url = forms.CharField(max_length=2000, label="URL")
    events = forms.MultipleChoiceField(
        choices=[(event, event) for event in RUN_EVENTS], initial=list(RUN_EVENTS), label="It is told of"
    )
    description = forms.CharField(max_length=500, required=False)


class RecipientForm(RefusableForm):
    """What is known of a recipient."""

    profile = JsonField(of=dict, required=False)

    def clean_profile(self) -> dict[str, Any]:
        profile: dict[str, Any] = self.cleaned_data["profile"]
        return {name: value for name, value in profile.items() if value is not None}


class NewRecipientForm(RecipientForm):
    """A recipient and what is known of it."""

    key = forms.CharField(max_length=255, label="Id")

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"]
        if not key.isprintable():
            raise ValidationError("An id has printable characters only.")
        return key


class MessageForm(RefusableForm):
    """A message template: what it says, and what it says otherwise on some channels."""

    key = forms.RegexField(rf"\A{MESSAGE_KEY}\Z", max_length=100, error_messages={"invalid": KEY_FAULT})
    name = forms.CharField(max_length=200, required=False)
    title = forms.CharField(max_length=LONGEST_TITLE, required=False)
    body = forms.CharField(max_length=LONGEST_BODY, required=False, strip=False, widget=forms.Textarea)
    channels = JsonField(of=dict, required=False, label="Worded differently")

    def clean_channels(self) -> dict[str, Any]:
        channels: dict[str, Any] = self.cleaned_data["channels"]
        for channel, said in channels.items():
            if channel not in CHANNEL_NAMES:
                raise ValidationError(f"A channel is one of: {', '.join(sorted(CHANNEL_NAMES))}.")
            texts = isinstance(said, dict) and all(isinstance(text, str) for text in said.values())
            if not texts or not said or not set(said) <= {"title", "body"}:
                raise ValidationError(
                    f"“{channel}” must be an object with “title”, “body”, or both as texts."
                )
            if len(said.get("title", "")) > LONGEST_TITLE or len(said.get("body", "")) > LONGEST_BODY:
                raise ValidationError(f"What “{channel}” says is too long.")
        return channels

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not cleaned["title"] and not cleaned["body"]:
            raise ValidationError("Give a title or a body.")
        return cleaned

    @property
    def said(self) -> Mapping[str, Any]:
        """Of a form that is valid: all but the key."""
        return {name: self.cleaned_data[name] for name in ("name", "title", "body", "channels")}


class SampleForm(forms.Form):
    """Whom and what a message template is tried on."""

    sample_data = JsonField(of=dict, required=False, label="Sample data")
    sample_profile = JsonField(of=dict, required=False, label="Sample profile")
    channel = forms.ChoiceField(
        choices=[(name, name) for name in sorted(CHANNEL_NAMES)], initial="console", required=False
    )


class ProviderForm(RefusableForm):
    """Through what an environment delivers."""

    key = forms.RegexField(rf"\A{MESSAGE_KEY}\Z", max_length=100, error_messages={"invalid": KEY_FAULT})
    kind = forms.ChoiceField(
        choices=[
            (Provider.Kind.APPRISE, "A service by its Apprise URL"),
            (Provider.Kind.WEBHOOK, "A secret that messages by webhook are signed with"),
        ],
        initial=Provider.Kind.APPRISE,
    )
    url = forms.CharField(max_length=2000, required=False, label="Apprise URL")


class EnvironmentForm(RefusableForm):
    """A new environment."""

    key = forms.CharField(max_length=32, label="Name")
