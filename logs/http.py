"""What the pages need of HTTP: parts for htmx, whole pages without it, at the same address."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import render
from django_htmx.http import replace_url, reswap, retarget

from automations.middleware import PageRequest, to_page

__all__ = ["PageRequest", "part", "refused", "require", "to_page", "unchanged", "wants_part"]


def wants_part(request: PageRequest) -> bool:
    """Whether htmx asks for a part of the page; when it restores history it needs the whole."""
    return bool(request.htmx) and not request.htmx.history_restore_request


def require(request: PageRequest, action: str) -> None:
    """PermissionDenied unless the person's role allows the action."""
    if not request.user.can(action):
        raise PermissionDenied(f"Your role, {request.user.role}, does not allow this.")


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


def unchanged() -> HttpResponse:
    """The answer to a poll whose tag still fits: htmx swaps nothing."""
    return HttpResponse(status=204)
