"""Who gets in, as whom, and with which key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, UsernameField
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError

from automations.models import SCOPES, Role, User

KEPT: dict[str, timedelta | None] = {
    "": None, "30d": timedelta(days=30), "90d": timedelta(days=90), "1y": timedelta(days=365),
}  # fmt: skip
ROLLED = {"0": timedelta(), "1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7)}


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


class KeyForm(forms.Form):
    """A new API key."""

    name = forms.CharField(max_length=100)
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES], initial=["read", "invoke", "cancel"]
    )
    expires = forms.ChoiceField(
        choices=[("", "Never"), ("30d", "After 30 days"), ("90d", "After 90 days"), ("1y", "After a year")],
        required=False,
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not name.isprintable():
            raise ValidationError("A name has printable characters only.")
        return name


class RollForm(forms.Form):
    """How long the old key goes on."""

    keep = forms.ChoiceField(choices=[(key, key) for key in ROLLED])

    @property
    def kept(self) -> timedelta:
        return ROLLED[self.cleaned_data["keep"]]


class RevokeForm(forms.Form):
    """The key's name, typed."""

    name = forms.CharField(max_length=100, required=False)

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted = name

    def clean_name(self) -> str:
        typed: str = self.cleaned_data["name"]
        if typed != self.wanted:
            raise ValidationError(f"Type “{self.wanted}” to revoke this key.")
        return typed


class InviteForm(forms.Form):
    """Somebody new."""

    username = UsernameField(max_length=150, validators=[UnicodeUsernameValidator()])
    role = forms.ChoiceField(choices=Role.choices, initial=Role.VIEWER)

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        if User.objects.filter(username=username).exists():
            raise ValidationError("Somebody has this name already.")
        return username


class RoleForm(forms.Form):
    """What becomes of somebody; `link` asks for a link to choose a new password by."""

    role = forms.ChoiceField(choices=Role.choices)
    is_active = forms.BooleanField(required=False)
    link = forms.CharField(required=False)


class PasswordForm(forms.Form):
    """The password of who was invited."""

    password = forms.CharField(max_length=1000, strip=False, widget=forms.PasswordInput)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, self.user)
        return password
