"""Makes a new automation template, from nothing or from one of the samples."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from automations import publication
from automations.forms import NewForm
from automations.middleware import PageRequest
from automations.models import Refusal
from automations.views.access import require


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: PageRequest) -> HttpResponseBase:
    """Its names and what it begins with; made, it is a draft and is opened in the editor."""
    require(request, "write")
    samples = publication.samples()
    choices = [(sample["key"], sample["name"]) for sample in samples]
    if request.method == "POST":
        form = NewForm(request.POST, samples=choices)
    else:
        chosen = next((one for one in samples if one["key"] == request.GET.get("sample")), None)
        form = NewForm(initial=_initial(chosen), samples=choices)
    if form.is_valid():
        given = form.cleaned_data
        begun: dict[str, Any] = next((one for one in samples if one["key"] == given["sample"]), {})
        try:
            automation = publication.create(
                environment=request.environment, key=given["key"], name=given["name"],
                alias=given["alias"] or None, definition=begun.get("definition", {"steps": []}),
                description=begun.get("description", ""), by=request.user.actor,
            )  # fmt: skip
        except Refusal as refusal:
            form.point_out(refusal.problems)
        else:
            return redirect("templates:edit", automation.key)
    context = {"form": form, "samples": samples}
    return render(request, "automations/new.html", context, status=422 if form.is_bound else 200)


def _initial(sample: dict[str, Any] | None) -> dict[str, str]:
    return {"sample": sample["key"], "name": sample["name"], "key": sample["key"]} if sample else {}
