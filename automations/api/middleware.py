"""Stands before the pages, at whose addresses Courier has some of its own."""

from __future__ import annotations

from collections.abc import Callable

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from automations.api.errors import is_keyed, not_found
from automations.api.shapes import SHARED


class SharedPathsMiddleware:
    """To a program that comes with a key there is nothing at these addresses; the login of the page would be a
    redirect that it follows, to HTML."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        root = request.path_info.removeprefix("/").partition("/")[0]
        if root in SHARED and is_keyed(request):
            return not_found(request, Http404())
        return self.get_response(request)
