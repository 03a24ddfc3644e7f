"""Addresses of the pages beside the logs."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, register_converter

from automations.api.urls import last
from automations.models import KEY_PATTERN
from automations.views import (
    creation,
    disabling,
    documents,
    environments,
    invoking,
    keys,
    latest,
    listing,
    messages,
    preferences,
    preview,
    providers,
    recipient_lists,
    recipients,
    settings,
    setup,
    steps,
    users,
    versions,
    webhooks,
    workers,
)
from automations.views.login import Login, Logout


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
    path("new/", creation.new, name="new"),
    path("<key:key>/", steps.steps, name="edit"),
    path("<key:key>/steps/<int:place>", steps.step, name="step"),
    path("<key:key>/json", steps.as_json, name="json"),
    path("<key:key>/settings", settings.settings, name="settings"),
    path("<key:key>/token-preview", preview.token_preview, name="token-preview"),
    path("<key:key>/versions", versions.versions, name="versions"),
    path("<key:key>/runs", latest.runs, name="runs"),
    path("<key:key>/publish", versions.publish, name="publish"),
    path("<key:key>/disable", disabling.disable, name="disable"),
    path("<key:key>/enable", disabling.enable, name="enable"),
    path("<key:key>/invoke", invoking.invoke, name="invoke"),
    path("<key:key>/use", invoking.use, name="use"),
]
api_keys = [
    path("", keys.keys, name="list"),
    path("<slug:public_id>/roll/", keys.roll, name="roll"),
    path("<slug:public_id>/revoke/", keys.revoke, name="revoke"),
]
people = [
    path("", users.users, name="list"),
    path("<int:pk>/", users.change, name="change"),
]
told = [
    path("", webhooks.webhooks, name="list"),
    path("<uuid:uid>/", webhooks.webhook, name="one"),
    path("<uuid:uid>/deliveries/<uuid:delivery>/retry/", webhooks.retry, name="retry"),
]
known = [
    path("", recipients.recipients, name="list"),
    path("new/", recipients.new, name="new"),
    path("lists/", recipient_lists.listing, name="lists"),
    path("lists/<str:key>/", recipient_lists.one, name="one-list"),
    path("<int:pk>/", recipients.recipient, name="one"),
]
wordings = [
    path("", messages.listing, name="list"),
    path("~new/", messages.new, name="new"),
    path("<str:key>/", messages.message, name="one"),
]
papers = [
    path("", documents.index, name="index"),
    path("<slug:slug>/", documents.document, name="one"),
]
secrets = [
    path("", providers.providers, name="list"),
    path("<str:key>/remove/", providers.remove, name="remove"),
]
urlpatterns: list[URLPattern | URLResolver] = [
    path("setup/", setup.setup, name="setup"),
    path("login/", Login.as_view(), name="login"),
    path("logout/", Logout.as_view(), name="logout"),
    path("preferences/", preferences.preferences, name="preferences"),
    path("workers/", workers.workers, name="workers"),
    path("environment/", preferences.environment, name="environment"),
    path("docs/", include((papers, "docs"))),
    path("environments/", include(([path("", environments.environments, name="list")], "environments"))),
    path("webhooks/", include((told, "webhooks"))),
    path("recipients/", include((known, "recipients"))),
    path("messages/", include((wordings, "messages"))),
    path("providers/", include((secrets, "providers"))),
    path("keys/", include((api_keys, "keys"))),
    path("users/", include((people, "users"))),
    path("invited/<path:token>/", users.accept, name="invited"),
    path("templates/", include((templates, "templates"))),
    path("", include(last)),
]
