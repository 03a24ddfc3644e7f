"""Addresses of the APIs and of the pages beside the logs."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path, register_converter

from automations.api.urls import last
from automations.models import KEY_PATTERN
from automations.views import editor, listing, preferences, preview, setup
from automations.views.login import Login


class KeyConverter:
    """What can be an automation's key."""

    regex = KEY_PATTERN.removeprefix("^").removesuffix(r"\Z")

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(KeyConverter, "key")
templates = [
    path("", listing.listing, name="list"),
    path("new/", editor.new, name="new"),
    path("token-preview", preview.token_preview, name="token-preview"),
    path("<key:key>/", editor.edit, name="edit"),
]
urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("automations.api.urls")),
    path("setup/", setup.setup, name="setup"),
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("preferences/", preferences.preferences, name="preferences"),
    path("environment/", preferences.environment, name="environment"),
    path("templates/", include((templates, "templates"))),
    path("", include(last)),
]
