"""Finds the API key a request comes with, and whether it may do what the request asks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from automations.api.errors import Denied
from automations.api.limits import cancels
from automations.models import ApiKey, address_asked_from

USE_GRAIN = timedelta(minutes=1)


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`; the key becomes `request.auth`. Costs one SELECT."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey]:
        """401 without a key, and for a wrong, revoked or expired one."""
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not (text := text.strip()):
            message = "send an API key: “Authorization: Bearer <key>”"
            raise NotAuthenticated(message, code="authentication_required")
        now = timezone.now()
        key = ApiKey.objects.matching(text=text, now=now) if text.isprintable() else None
        if key is None:
            raise AuthenticationFailed("this API key is not valid", code="invalid_key")
        note_use(key, now)
        return None, key

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return "Bearer"


class HasScope(BasePermission):
    """An endpoint names the scope that each of its methods needs, such as `get_scope`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """403 for a key without the scope, and where an endpoint names none for a method that it has."""
        method, scope = _method_of(request), scope_of(request, view)
        if scope is not None and isinstance(request.auth, ApiKey):
            demand_scope(request.auth, scope)
            return True
        return method not in view.http_method_names or not hasattr(view, method)  # 405 follows


def scope_of(request: Request, view: Any) -> str | None:
    """The scope that the endpoint names for the request's method."""
    scope: str | None = getattr(view, f"{_method_of(request)}_scope", None)
    return scope


def _method_of(request: Request) -> str:
    return "get" if request.method == "HEAD" else str(request.method).lower()


def demand_scope(key: ApiKey, scope: str) -> None:
    """Denied (403) unless the key holds the scope."""
    if not key.can(scope):
        raise Denied(403, "missing_scope", f"this API key lacks the scope “{scope}”")


def demand_scopes_of(definition: object, key: ApiKey) -> None:
    """Denied (403) when a definition that a request brought along would cancel runs and its key may not."""
    steps = definition.get("steps") if isinstance(definition, dict) else None
    if key.can("cancel") or not isinstance(definition, dict):
        return
    concurrency = definition.get("concurrency")
    supersedes = isinstance(concurrency, dict) and concurrency.get("policy") == "cancel_previous"
    if supersedes or (isinstance(steps, list) and any(cancels(step) for step in steps)):
        demand_scope(key, "cancel")


def note_use(key: ApiKey, now: datetime) -> None:
    """Writes when the key was used and from where, at most once a minute whatever the load."""
    if key.last_used_at is not None and now - key.last_used_at < USE_GRAIN:
        return
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - USE_GRAIN)
    ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now, last_used_from=address_asked_from())
