"""People in the browser: invited by a link, given a role, sent away."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from automations.admission import sessions
from automations.admission import users as admission
from automations.forms.access import InviteForm, PasswordForm, RoleForm
from automations.middleware import PageRequest
from automations.models import Role, User
from automations.views import access
from automations.views.paging import cut

INVITED_FOR = 7 * 24 * 3600  # seconds
_SALT = "automations.invitation"


@require_http_methods(["GET", "HEAD", "POST"])
def users(request: PageRequest) -> HttpResponse:
    """Everybody who may log in, and a link for who is invited."""
    access.require(request, "admin")
    form = InviteForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        given = form.cleaned_data
        user = admission.invite(username=given["username"], role=given["role"], by=request.user.actor)
        return render(request, "automations/users.html", _listed(InviteForm(), invited=user, request=request))
    status = 422 if form.is_bound else 200
    return render(request, "automations/users.html", _listed(form, request=request), status=status)


@require_POST
def change(request: PageRequest, pk: int) -> HttpResponseBase:
    """Another role, sent away, let in again, or a new link. The last admin stays admin."""
    access.require(request, "admin")
    user = get_object_or_404(User, pk=pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        raise Http404("there is no such role")
    if form.cleaned_data["link"]:
        admission.give_link(user, by=request.user.actor)
        return render(request, "automations/users.html", _listed(InviteForm(), invited=user, request=request))
    given = form.cleaned_data
    if not admission.change(user, role=given["role"], is_active=given["is_active"], by=request.user.actor):
        context = _listed(InviteForm(), request=request) | {"refusal": "The last admin stays admin."}
        return render(request, "automations/users.html", context, status=422)
    role = Role(user.role).label.lower()
    state = f"is {'a' if role == 'viewer' else 'an'} {role}" if user.is_active else "may not log in any more"
    messages.info(request, f"{user.username} {state}.")
    return redirect("users:list")


@login_not_required
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponseBase:
    """Whoever holds the link chooses a password; the link is spent by it."""
    user = _invited(token)
    form = PasswordForm(request.POST if request.method == "POST" else None, user=user)
    if not form.is_valid():
        context = {"form": form, "invited": user}
        return render(request, "registration/invited.html", context, status=422 if form.is_bound else 200)
    admission.choose_password(user, form.cleaned_data["password"])
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    sessions.began(user)
    return redirect("logs:overview")


def _link(request: HttpRequest, user: User) -> str:
    """It fits the password the person has now, hence once; whoever reads it learns nothing of that."""
    token = signing.dumps([user.pk, _digest(user)], salt=_SALT, compress=True)
    return request.build_absolute_uri(reverse("invited", args=[token]))


def _digest(user: User) -> str:
    return salted_hmac(_SALT, user.password, algorithm="sha256").hexdigest()


def _invited(token: str) -> User:
    try:
        pk, digest = signing.loads(token, salt=_SALT, max_age=INVITED_FOR)
    except (signing.BadSignature, ValueError) as error:
        raise Http404("this link is not valid any more") from error
    user = get_object_or_404(User, pk=pk, is_active=True)
    if not constant_time_compare(_digest(user), str(digest)):
        raise Http404("this link is not valid any more")
    return user


def _listed(form: InviteForm, *, request: PageRequest, invited: User | None = None) -> dict[str, Any]:
    page = cut(User.objects.all(), request)
    return {
        "form": form, "page": page, "roles": Role.choices,
        "users": sorted(page.rows, key=lambda user: (not user.is_active, user.username)),
        "invited": invited, "link": _link(request, invited) if invited else "",
    }  # fmt: skip
