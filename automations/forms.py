"""The forms of the pages: what is typed, checked and said back at the field it is about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, UsernameField
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError

from automations.definition import Problem
from automations.definition.fields import EXPRESSION_LENGTH
from automations.models import KEY_PATTERN, User

DEEPEST = 64
NOTE_LENGTH = 500
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class LoginForm(AuthenticationForm):
    """Its page says the same whatever was wrong."""

    username = UsernameField(max_length=150)


class SetupForm(forms.Form):
    """The first person: proves by the one-time code to have started the program."""

    code = forms.CharField(max_length=200, label="One-time code")
    username = UsernameField(max_length=150, validators=[UnicodeUsernameValidator()])
    password = forms.CharField(max_length=1000, strip=False, widget=forms.PasswordInput)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "password" in cleaned:
            try:
                validate_password(cleaned["password"], User(username=cleaned.get("username", "")))
            except ValidationError as error:
                self.add_error("password", error)
        return cleaned


class JsonField(forms.CharField):
    """A text that is JSON of one type; what does not fit is said with line and column."""

    widget = forms.Textarea

    def __init__(self, *, of: type, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)
        self.of = of

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text.strip() and not self.required:
            return self.of()
        parsed = parse_json(text)
        if not isinstance(parsed, self.of):
            wanted = "a list: [ … ]" if self.of is list else "an object: { … }"
            raise ValidationError(f"This must be {wanted}")
        return parsed


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


def parse_json(text: str) -> Any:
    """The JSON value. ValidationError with line and column, or for what a database could not store."""
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValidationError(f"Line {error.lineno}, column {error.colno}: {_plain(error)}") from error
    except RecursionError as error:
        raise ValidationError(f"This is nested deeper than {DEEPEST} levels") from error
    except ValueError as error:
        raise ValidationError(str(error)) from error
    if _depth(value) > DEEPEST:
        raise ValidationError(f"This is nested deeper than {DEEPEST} levels")
    if _UNSTORABLE.search(json.dumps(value, ensure_ascii=False)) or "\\u0000" in json.dumps(value):
        raise ValidationError("This holds a NUL character or half a surrogate pair, which cannot be stored")
    return value


def _plain(error: json.JSONDecodeError) -> str:
    """Python's words for it, where the usual slips have clearer ones."""
    return {
        "Expecting property name enclosed in double quotes": "a name in double quotes, or }, is expected here",
        "Illegal trailing comma before end of object": "a comma too many before }",
        "Illegal trailing comma before end of array": "a comma too many before ]",
        "Expecting value": "a value is expected here",
        "Expecting ',' delimiter": "a comma is missing here, or a bracket before it",
        "Extra data": "nothing may follow here",
    }.get(error.msg, error.msg)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"“{twice[:60]}” is given twice in one object")
    return members


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _depth(value: Any) -> int:
    """How deep lists and objects stand in each other; no recursion, no more than one level too many."""
    depth, level = 0, [value]
    while level and depth <= DEEPEST:
        inner: list[Any] = []
        for member in level:
            if isinstance(member, dict):
                inner += member.values()
            elif isinstance(member, list):
                inner += member
        if not any(isinstance(member, dict | list) for member in level):
            break
        depth, level = depth + 1, inner
    return depth
