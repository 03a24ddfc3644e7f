"""API keys in the browser: made and shown once, rolled over, revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from automations.admission import keys as admission
from automations.forms.access import KEPT, KeyForm, RevokeForm, RollForm
from automations.middleware import PageRequest
from automations.models import ApiKey
from automations.views import access
from automations.views.paging import cut


@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: PageRequest) -> HttpResponse:
    """The environment's keys; a new one is shown this once."""
    access.require(request, "admin")
    form = KeyForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        given = form.cleaned_data
        lasts = KEPT[given["expires"]]
        key, text = admission.issue(
            environment=request.environment, name=given["name"], scopes=tuple(given["scopes"]),
            by=request.user.actor, expires_at=timezone.now() + lasts if lasts else None,
        )  # fmt: skip
        return _shown(request, key, text)
    return render(
        request, "automations/keys.html", _listed(request, form), status=422 if form.is_bound else 200
    )


@require_POST
def roll(request: PageRequest, public_id: str) -> HttpResponse:
    """A new key in place of this one, which goes on for as long as is asked."""
    access.require(request, "admin")
    key = _key(request, public_id)
    form = RollForm(request.POST)
    if not key.is_live(now=timezone.now()) or not form.is_valid():
        return render(request, "automations/keys.html", _listed(request, KeyForm()), status=422)
    new, text = admission.roll(key, by=request.user.actor, until=timezone.now() + form.kept)
    return _shown(request, new, text, until=key.expires_at)


@require_POST
def revoke(request: PageRequest, public_id: str) -> HttpResponseBase:
    """The key is refused from now on; its name is typed to confirm."""
    access.require(request, "admin")
    key = _key(request, public_id)
    form = RevokeForm(request.POST, name=key.name)
    if not form.is_valid():
        context = _listed(request, KeyForm()) | {"wrong": key.public_id, "said": form.errors["name"]}
        return render(request, "automations/keys.html", context, status=422)
    admission.revoke(key, by=request.user.actor)
    messages.info(request, f"The key “{key.name}” is revoked: it is refused from now on.")
    return redirect("keys:list")


def _listed(request: PageRequest, form: KeyForm) -> dict[str, Any]:
    """A page of them, the newest first; on each the live ones stand at the top."""
    now = timezone.now()
    page = cut(ApiKey.objects.filter(environment=request.environment), request)
    lines = [(key, key.is_live(now=now)) for key in page.rows]
    return {"form": form, "page": page, "lines": sorted(lines, key=lambda line: not line[1])}


def _shown(request: PageRequest, key: ApiKey, text: str, *, until: datetime | None = None) -> HttpResponse:
    context = {
        "name": key.name, "key": text, "until": until, "workspace": key.workspace if key.signs else None,
        "host": request.build_absolute_uri("/").rstrip("/"),
    }  # fmt: skip
    return render(request, "automations/key_made.html", context)


def _key(request: PageRequest, public_id: str) -> ApiKey:
    return get_object_or_404(ApiKey, environment=request.environment, public_id=public_id)
