"""What the pages need of HTTP: parts for htmx, whole pages without it, at the same address."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django_htmx.http import replace_url, reswap, retarget

from automations.middleware import PageRequest, require, to_page
from automations.models import Cancellation, Run

__all__ = [
    "PageRequest",
    "cancellation_of",
    "missing_run",
    "part",
    "refused",
    "require",
    "run_of",
    "to_page",
    "unchanged",
    "wants_part",
]


def wants_part(request: PageRequest) -> bool:
    """Whether htmx asks for a part of the page; when it restores history it needs the whole."""
    return bool(request.htmx) and not request.htmx.history_restore_request


def part(
    request: PageRequest, template: str, context: dict[str, Any], *, url: str | None = None
) -> HttpResponse:
    """The rendered part; with `url` the address bar shows that address afterwards."""
    response = render(request, template, context)
    return response if url is None else replace_url(response, url)


def refused(request: PageRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """The dialog's form with what is wrong in it: into the dialog again, whatever the form's target was."""
    response = render(request, template, context, status=422)
    return retarget(reswap(response, "innerHTML"), "#dialog")


def run_of(request: PageRequest, uid: UUID) -> Run:
    """The run with what it is doing now; Http404 for one that is not of the environment looked at."""
    run = Run.objects.within(request.environment).with_state().find(uid)
    if run is None:
        raise Http404("there is no such run in this environment")
    return run


def missing_run(request: PageRequest, uid: UUID) -> HttpResponse:
    """The answer for a run that is not of the environment looked at; it says of which it is."""
    others = (one for one in request.frame.environments if one != request.environment)
    elsewhere = next((one for one in others if Run.objects.within(one).filter(uid=uid).exists()), None)
    return render(request, "404.html", {"elsewhere": elsewhere}, status=404)


def cancellation_of(request: PageRequest, uid: UUID) -> Cancellation:
    """The cancellation; Http404 for one that is not of the environment looked at."""
    row = Cancellation.objects.filter(environment=request.environment, pk=uid).first()
    if row is None:
        raise Http404("there is no such cancellation in this environment")
    return row


def unchanged() -> HttpResponse:
    """The answer to a poll whose tag still fits: htmx swaps nothing."""
    return HttpResponse(status=204)
