"""Why a run was or was not called off, and what a cancellation nearly hit."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from automations import near_misses
from automations.explanation import explain, explain_undone
from automations.models import Cancellation
from logs import http
from logs.http import PageRequest


@require_safe
def why(request: PageRequest, uid: UUID) -> HttpResponseBase:
    """Why the cancellation asked for hit the run or did not; without one, the one that hit it, else the last
    that was undone, and those that came near."""
    run = http.run_of(request, uid)
    text = request.GET.get("cancellation", "").strip()
    cancellation = _asked(request, text) if text else run.called_off_by
    undone = None
    if cancellation is not None:
        found = [(cancellation, explain(run, cancellation))]
    elif text:
        found = []
    else:
        found, undone = near_misses.of_run(run), explain_undone(run)
    return _shown(request, "why", {"run": run, "found": found, "asked": text, "undone": undone})


@require_safe
def missed(request: PageRequest, uid: UUID) -> HttpResponseBase:
    """Runs that a cancellation nearly hit."""
    cancellation = http.cancellation_of(request, uid)
    found = near_misses.of_cancellation(cancellation)
    return _shown(request, "missed", {"cancellation": cancellation, "found": found})


def _asked(request: PageRequest, text: str) -> Cancellation | None:
    try:
        return Cancellation.objects.filter(environment=request.environment, pk=UUID(text)).first()
    except ValueError:
        return None


def _shown(request: PageRequest, name: str, context: dict[str, Any]) -> HttpResponseBase:
    """In a dialog, or on a page of its own."""
    if http.wants_part(request):
        return http.part(request, f"logs/_{name}.html", context | {"dialog": True})
    return render(request, f"logs/{name}.html", context)
