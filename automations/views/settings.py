"""The settings of an automation template: its names, its cancellation token with the workbench, its rules."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from automations.definition.inputs import SETTINGS
from automations.forms import NamesForm, PreviewForm, SampleForm
from automations.forms.inputs import Field, fields_of, point_out, written
from automations.middleware import PageRequest
from automations.models import Automation, Refusal
from automations.views.access import require
from automations.views.drafts import draft_of, problems_of
from automations.views.editor import base_of, find, keep, page, saved
from automations.views.preview import is_too_fast, preview_of, too_fast
from automations.views.samples import recent_runs, sample_of


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: PageRequest, key: str) -> HttpResponseBase:
    """What holds for all steps. A POST saves it, or tries the token (`do=preview`) and saves nothing."""
    automation = find(request, key)
    if request.method == "POST" and request.POST.get("do") == "preview":
        require(request, "invoke")
        return _previewed(request, automation)
    if request.method == "POST":
        require(request, "write")
        return _saved(request, automation)
    names = NamesForm(
        initial={
            "name": automation.name,
            "alias": automation.alias or "",
            "description": automation.description,
        }
    )
    return _page(request, automation, names, fields_of(draft_of(automation), SETTINGS))


def _saved(request: PageRequest, automation: Automation) -> HttpResponseBase:
    base = base_of(request, automation)
    mine, fields = written(base, SETTINGS, request.POST.dict())
    names = NamesForm(request.POST)
    if names.is_valid() and not any(field.errors for field in fields):
        try:
            kept = keep(request, automation, mine, settings=names.cleaned_data)
        except Refusal as refusal:
            names.point_out(refusal.problems)
        else:
            if isinstance(kept, HttpResponse):
                return kept
            messages.success(request, saved())
            return redirect("templates:settings", automation.key)
    typed: dict[str, Any] = {
        "revision": request.POST.get("revision", ""),
        "base": request.POST.get("base", ""),
    }
    return _page(request, automation, names, fields, status=422, **typed)


def _previewed(request: PageRequest, automation: Automation) -> HttpResponse:
    """The form as it was typed, with the token beside it: for browsers without JavaScript."""
    if is_too_fast(request):
        return too_fast(request)
    _, fields = written(base_of(request, automation), SETTINGS, request.POST.dict())
    names = NamesForm(request.POST)
    names.errors.clear()  # nothing is saved, so nothing is complained about
    preview = preview_of(request, PreviewForm(request.POST), key=automation.key)
    typed: dict[str, Any] = {
        "revision": request.POST.get("revision", ""),
        "base": request.POST.get("base", ""),
    }
    sample = {name: request.POST.get(name, "") for name in SampleForm.base_fields}
    return _page(request, automation, names, fields, preview=preview, sample=sample, **typed)


def _page(
    request: PageRequest,
    automation: Automation,
    names: NamesForm,
    fields: list[Field],
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    if request.user.can("invoke"):
        more = {"sample": _sample(request, automation), "recent": recent_runs(automation)} | more
    problems = [one for one in problems_of(automation) if not one.pointer.startswith("/steps")]
    point_out(fields, problems, below="")
    token, unresolved, *rest = fields
    return page(
        request, "settings", automation, tab="settings", status=status, names=names, token=token,
        unresolved=unresolved, rest=rest, is_rest_open=any(one.value or one.problems for one in rest), **more,
    )  # fmt: skip


def _sample(request: PageRequest, automation: Automation) -> dict[str, str]:
    """What the address asks for (`?run=`), else what the last run was invoked with, else something to begin with."""
    try:
        uid = UUID(request.GET.get("run", ""))
    except ValueError:
        uid = None
    return sample_of(automation, uid=uid)
