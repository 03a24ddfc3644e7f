"""Providers in the browser: through what an environment delivers; their secrets are shown never, or once."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from automations.directory import providers as directory
from automations.forms.directory import ProviderForm
from automations.middleware import PageRequest
from automations.models import Provider, Refusal
from automations.views import access


@require_http_methods(["GET", "HEAD", "POST"])
def providers(request: PageRequest) -> HttpResponse:
    """The environment's providers, at most a hundred; a signing secret is shown this once."""
    access.require(request, "admin")
    form = ProviderForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        given = form.cleaned_data
        try:
            row, secret = directory.create(
                environment=request.environment, key=given["key"], kind=Provider.Kind(given["kind"]),
                url=given["url"], by=request.user.actor,
            )  # fmt: skip
        except Refusal as refusal:
            form.point_out(refusal)
        else:
            if secret is not None:
                return render(
                    request, "automations/provider_secret.html", {"provider": row, "secret": secret}
                )
            messages.info(request, f"“{row.key}” is stored: sends may name it from now on.")
            form = ProviderForm()
    rows = Provider.objects.filter(environment=request.environment).defer("sealed").order_by("-pk")
    context = {"form": form, "providers": rows}
    return render(request, "automations/providers.html", context, status=422 if form.is_bound else 200)


@require_POST
def remove(request: PageRequest, key: str) -> HttpResponseBase:
    """Forgets the provider and its secret."""
    access.require(request, "admin")
    with access.or_404():
        directory.remove(environment=request.environment, key=key, by=request.user.actor)
    messages.info(request, f"“{key}” is gone: sends that name it fail.")
    return redirect("providers:list")
