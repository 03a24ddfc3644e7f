"""Disabling and enabling an automation template: what becomes of the runs under way, counted first."""

from __future__ import annotations

from django.contrib import messages
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from automations import publication
from automations.cancellation import LONGEST_REASON
from automations.forms import sentence
from automations.middleware import PageRequest
from automations.models import DisableMode, Overdue, Refusal
from automations.views.access import require
from automations.views.editor import find, page, typed

DONE = {
    DisableMode.DRAIN: "Disabled. No more invokes are taken; runs under way go on.",
    DisableMode.HOLD: "Disabled and held. No step of its runs starts until it is enabled.",
    DisableMode.CANCEL: "Disabled. Its unfinished runs are called off.",
}


@require_http_methods(["GET", "HEAD", "POST"])
def disable(request: PageRequest, key: str) -> HttpResponseBase:
    """Asks what becomes of unfinished runs, with their number, and disables it."""
    require(request, "write")
    automation = find(request, key)
    mode, reason = typed(request, "mode"), typed(request, "reason")
    refusal = ""
    if request.method == "POST":
        refusal = "Choose what becomes of its runs."
        if mode in DisableMode.values:
            try:
                publication.disable(
                    environment=request.environment, key=key, by=request.user.actor, mode=mode, reason=reason
                )
            except Refusal as error:
                refusal = sentence(error.message)
            else:
                messages.success(request, DONE[DisableMode(mode)])
                return redirect("templates:edit", key)
    return page(
        request, "disable", automation, tab="disable", status=422 if refusal else 200, refusal=refusal,
        impact=publication.impact(automation), mode=mode or automation.mode or DisableMode.DRAIN, reason=reason,
        longest_reason=LONGEST_REASON,
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
def enable(request: PageRequest, key: str) -> HttpResponseBase:
    """Asks what becomes of what was due meanwhile, with its number, and enables it."""
    require(request, "write")
    automation = find(request, key)
    overdue = request.POST.get("overdue", Overdue.FIRE_NOW)
    refusal = ""
    if request.method == "POST":
        if overdue in Overdue.values:
            publication.enable(
                environment=request.environment, key=key, by=request.user.actor, overdue=overdue
            )
            messages.success(request, "Enabled. Invokes are taken again.")
            return redirect("templates:edit", key)
        refusal = "Choose what becomes of the steps that were due meanwhile."
    return page(
        request, "enable", automation, tab="enable", status=422 if refusal else 200, refusal=refusal,
        impact=publication.impact(automation), overdue=overdue,
    )  # fmt: skip
