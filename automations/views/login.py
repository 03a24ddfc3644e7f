"""Lets people in and out; django-axes counts the failures."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.conf import settings
from django.contrib.auth import views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.decorators import method_decorator

from automations.admission import sessions
from automations.forms import LoginForm
from automations.models import User


@method_decorator(login_not_required, name="dispatch")
class Login(views.LoginView):
    """Leads to the set-up while nobody can log in."""

    authentication_form = LoginForm
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not User.objects.exists():
            return redirect("setup")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        answer = super().form_valid(form)
        sessions.began(form.get_user())
        return answer

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Notes each name that was tried, and once in a while that no more is."""
        username = form.cleaned_data.get("username")
        if username and form.cleaned_data.get("password"):
            if not getattr(self.request, "axes_locked_out", False):
                sessions.failed(username)
            elif _is_news(self.request, username):
                sessions.throttled(username)
        return super().form_invalid(form)


class Logout(views.LogoutView):
    """Leads to the login."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if isinstance(request.user, User):
            sessions.ended(request.user)
        return super().post(request, *args, **kwargs)


def _is_news(request: HttpRequest, username: str) -> bool:
    """Whether it was not said a while ago that this name is tried too often from there."""
    tried = sha256(f"{request.META.get('REMOTE_ADDR', '')} {username}".encode()).hexdigest()
    return cache.add(f"login-throttled/{tried}", True, timeout=round(settings.AXES_COOLOFF_TIME * 3600))
