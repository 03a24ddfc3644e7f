"""The first run: whoever holds the one-time code from the terminal becomes admin and gets a first API key."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from automations.admission import keys, sessions, users
from automations.forms import SetupForm
from automations.models import DEFAULT_ENVIRONMENT, Environment, Role, User, serialise

MOST_TRIES = 10
TRIES_KEPT = 15 * 60  # seconds
FIRST_KEY = "default"
SCOPES = ("read", "invoke", "cancel", "write")


@login_not_required
@sensitive_post_parameters("password", "code")
@require_http_methods(["GET", "HEAD", "POST"])
def setup(request: HttpRequest) -> HttpResponse:
    """The form, and once it is right the API key, shown this one time; 404 as soon as somebody can log in."""
    if User.objects.exists():
        raise Http404
    form = SetupForm(request.POST or None, initial={"code": request.GET.get("code", "")})
    tries = f"setup-tries-{request.META.get('REMOTE_ADDR', '')}"
    if request.method == "POST":
        if cache.get(tries, 0) >= MOST_TRIES:
            return render(request, "429.html", {"minutes": TRIES_KEPT // 60}, status=429)
        if form.is_valid() and not constant_time_compare(form.cleaned_data["code"].strip(), _code()):
            cache.set(tries, cache.get(tries, 0) + 1, TRIES_KEPT)
            form.add_error("code", "This is not the code. It is printed in the terminal by manage.py up.")
        if form.is_valid():
            return _made(request, form)
    context = {"form": form, "code_exists": bool(_code())}
    return render(request, "registration/setup.html", context, status=422 if form.is_bound else 200)


def _made(request: HttpRequest, form: SetupForm) -> HttpResponse:
    environment = Environment.objects.get(key=DEFAULT_ENVIRONMENT)
    username = form.cleaned_data["username"]
    with transaction.atomic():
        serialise(environment_id=environment.pk, words=["setup"])  # of two at once, the second finds a user
        if User.objects.exists():
            raise Http404
        user = users.create(
            username=username, password=form.cleaned_data["password"], role=Role.ADMIN, by=f"user/{username}"
        )
        _, text = keys.issue(environment=environment, name=FIRST_KEY, scopes=SCOPES, by=user.actor)
    _file().unlink(missing_ok=True)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    sessions.began(user)
    context = {"key": text, "host": request.build_absolute_uri("/").rstrip("/")}
    return render(request, "registration/setup_done.html", context)


def _file() -> Path:
    return Path(settings.COUNTERMAND_DATA) / "setup_code"


def _code() -> str:
    """The code that `manage.py up` left and printed; "" where there is none, which nothing typed equals."""
    try:
        return _file().read_text(encoding="utf-8").strip()
    except OSError:
        return ""
