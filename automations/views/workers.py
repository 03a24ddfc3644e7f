"""Whether anybody works: the badge in the frame of every page, which asks anew."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import Http404
from django.http.response import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from automations.middleware import PageRequest


@login_not_required
@require_safe
def workers(request: PageRequest) -> HttpResponseBase:
    """The badge, if another number work than the page shows. Nothing for whom the server does not know any more:
    sent to the login by a badge, a person would lose what they are writing."""
    if not request.htmx:
        raise Http404("the badge is no page of its own")
    shown = request.GET.get("shown")
    if not request.user.is_authenticated or shown == str(request.frame.workers):
        return HttpResponse(status=204)
    return render(request, "_workers.html")
