"""Remembers how a person wants pages to look, and which environment they look at."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from automations.middleware import THEMES, PageRequest, known_zone
from automations.views.access import look_at

YEAR = 365 * 24 * 3600


@login_not_required
@require_POST
def preferences(request: PageRequest) -> HttpResponse:
    """Sets the theme or the time zone of the pages in a cookie, and goes back."""
    response = redirect(_next(request) or "/")
    theme, zone = request.POST.get("theme"), request.POST.get("zone")
    wanted = {"theme": theme if theme in THEMES else None, "zone": known_zone(zone).key if zone else None}
    for name, value in wanted.items():
        if value is not None:
            response.set_cookie(
                name, value, max_age=YEAR, samesite="Lax", httponly=True, secure=request.is_secure()
            )
    return response


@require_POST
def environment(request: PageRequest) -> HttpResponse:
    """Looks at another environment from now on; goes to the list of its runs, or where `next` says."""
    wanted = request.POST.get("environment", "")
    if any(environment.key == wanted for environment in request.frame.environments):
        look_at(request, wanted)
    return redirect(_next(request) or "logs:list")


def _next(request: PageRequest) -> str:
    """Where the form leads on to; empty where that is no page of ours."""
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}) and back.startswith("/")
    return back if safe else ""
