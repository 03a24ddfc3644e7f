"""Joins the applications' addresses; the vendors' paths stand at the root, as their SDKs expect."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("automations.api.urls")),  # first: an API is asked a thousand times where a page is once
    path("", include("logs.urls")),
    path("", include("automations.urls")),
]

# An API's path answers in JSON, whatever becomes of it; a page's in HTML.
handler400 = "automations.api.errors.bad_request"
handler403 = "automations.api.errors.permission_denied"
handler404 = "automations.api.errors.not_found"
handler500 = "automations.api.errors.server_error"
