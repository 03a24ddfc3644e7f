"""Stands before every page: lets in whoever is logged in, and settles environment, theme and time zone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject, cached_property
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh
from django_htmx.middleware import HtmxDetails

from automations.models import DEFAULT_ENVIRONMENT, Environment, User, Worker, asked_from
from automations.models.run_search import CappedCount

THEMES = ("system", "light", "dark")


class Frame:
    """What surrounds every page: the environments, the one looked at, who works, the theme and the zone of its
    times."""

    def __init__(self, request: HttpRequest) -> None:
        self._session = request.session
        theme = request.COOKIES.get("theme", "")
        self.theme = theme if theme in THEMES else "system"
        self.zone = known_zone(request.COOKIES.get("zone", ""))

    @cached_property
    def environments(self) -> list[Environment]:
        working = CappedCount(Worker.objects.at_work().order_by().values("pk"))
        return list(Environment.objects.annotate(workers=working))

    @cached_property
    def environment(self) -> Environment:
        """The session's environment; production where it names none that exists."""
        by_key = {environment.key: environment for environment in self.environments}
        return by_key.get(self._session.get("environment", "")) or by_key[DEFAULT_ENVIRONMENT]

    @property
    def workers(self) -> int:
        """How many work, for all environments."""
        count: int = self.environments[0].workers  # type: ignore[attr-defined]  # in the statement of the others
        return count


class PageRequest(HttpRequest):
    """A request as it reaches a page."""

    user: User
    htmx: HtmxDetails
    frame: Frame
    environment: Environment


class SqueezeMiddleware(GZipMiddleware):
    """Compresses pages and static files, a fifth of their size for a millisecond or two; JSON is the APIs', which are
    to answer at once. Padded by Django against guessing by length, and the forms' token is masked anew each time."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_json = "json" in response.headers.get("Content-Type", "")
        return response if is_json else super().process_response(request, response)


class PageMiddleware(LoginRequiredMiddleware):
    """The APIs pass untouched: they know their callers by key."""

    def process_request(self, request: HttpRequest) -> None:
        if settings.TRUSTED_PROXIES:
            request.META["REMOTE_ADDR"] = _address_of(request)  # which the login's throttle goes by, too
        asked_from.set(request.META.get("REMOTE_ADDR") or None)
        frame = Frame(request)
        request.frame = frame  # type: ignore[attr-defined]
        request.environment = SimpleLazyObject(lambda: frame.environment)  # type: ignore[attr-defined]
        timezone.activate(frame.zone)

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        if _is_api(view_func):
            return None
        return super().process_view(request, view_func, view_args, view_kwargs) or _moved_on(request)

    def handle_no_permission(  # type: ignore[override]  # the stubs know redirects only
        self, request: HttpRequest, view_func: Callable[..., Any]
    ) -> HttpResponseBase:
        """To the login, or to the set-up where nobody can log in yet; htmx moves the whole page there."""
        if not User.objects.exists():
            address = reverse("setup")
        else:
            address = f"{reverse('login')}?{urlencode({'next': _came_from(request)})}"
        return to_page(request, address)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        match = request.resolver_match
        if match is None or not _is_api(match.func):
            if isinstance(response, HttpResponseNotAllowed):  # a reload, say, of what a form had led to
                response.content = render_to_string("405.html", request=request)
            # One address serves a page and its part, and neither may be shown after the logout.
            patch_vary_headers(response, ["HX-Request"])
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def _moved_on(request: HttpRequest) -> HttpResponseBase | None:
    """A page that shows another environment than the one looked at since, in another tab, is loaded anew before htmx
    swaps or sends anything in it; None for all others."""
    shown = request.headers.get("X-Environment")
    if not request.htmx or shown in (None, request.environment.key):  # type: ignore[attr-defined]
        return None
    key = request.environment.key  # type: ignore[attr-defined]
    messages.warning(request, f"The environment {key} was chosen in another tab, and now shows here as well.")
    return HttpResponseClientRefresh()


def _address_of(request: HttpRequest) -> str:
    """Where the request came from, as the outermost of our own proxies saw it: each appends the address of whom it
    has it from, and what stands further to the left anybody may have written."""
    nearest: str = request.META.get("REMOTE_ADDR") or ""
    seen = [entry.strip() for entry in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    said = seen[-min(settings.TRUSTED_PROXIES, len(seen))]
    if said.startswith("["):
        said = said[1:].partition("]")[0]
    elif said.count(":") == 1:
        said = said.partition(":")[0]  # some add the port
    try:
        return str(ip_address(said))
    except ValueError:
        return nearest


def _came_from(request: HttpRequest) -> str:
    """The page that a person wanted; what a form was sent to is no page."""
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    if htmx:
        return htmx.current_url_abs_path or "/"
    return request.get_full_path() if request.method in ("GET", "HEAD") else "/"


def require(request: PageRequest, action: str) -> None:
    """PermissionDenied unless the person's role allows the action."""
    if not request.user.can(action):
        raise PermissionDenied(f"Your role, {request.user.role}, does not allow this.")


def to_page(request: HttpRequest, address: str) -> HttpResponseBase:
    """Sends the browser there, also when htmx asked for a part of a page."""
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponseClientRedirect(address)
    return redirect(address)


def known_zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name, else UTC."""
    return ZoneInfo(name if name in _known_zones() else "UTC")


@cache
def _known_zones() -> set[str]:
    """Read once, from a few hundred files."""
    return available_timezones()


def _is_api(view: Callable[..., Any]) -> bool:
    return view.__module__.startswith("automations.api.")
