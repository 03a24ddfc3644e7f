"""The forms of the pages: what is typed, checked and said back at the field it is about."""

from automations.forms.access import LoginForm, SetupForm
from automations.forms.definitions import NOTE_LENGTH, InvokeForm, NamesForm, NewForm, PreviewForm, SampleForm
from automations.forms.json_field import JsonField, parse_json

__all__ = [
    "NOTE_LENGTH",
    "InvokeForm",
    "JsonField",
    "LoginForm",
    "NamesForm",
    "NewForm",
    "PreviewForm",
    "SampleForm",
    "SetupForm",
    "parse_json",
]
