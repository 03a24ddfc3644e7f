"""Environments in the browser: which there are, and a new one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from automations.admission import environments as admission
from automations.forms.directory import EnvironmentForm
from automations.middleware import PageRequest
from automations.models import Refusal
from automations.views import access


@require_http_methods(["GET", "HEAD", "POST"])
def environments(request: PageRequest) -> HttpResponse | HttpResponseBase:
    """All of them; whoever makes one looks at it from then on."""
    access.require(request, "admin")
    form = EnvironmentForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            made = admission.create(key=form.cleaned_data["key"], by=request.user.actor)
        except Refusal as refusal:
            form.point_out(refusal)
        else:
            access.look_at(request, made.key)
            messages.info(request, f"You look at “{made.key}” now. It has no keys and no automations yet.")
            return redirect("environments:list")
    return render(
        request, "automations/environments.html", {"form": form}, status=422 if form.is_bound else 200
    )
