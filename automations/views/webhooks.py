"""Webhook endpoints in the browser: who is told when runs end, with which secret, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from automations.forms import sentence
from automations.forms.directory import WebhookForm
from automations.middleware import PageRequest
from automations.models import Refusal, WebhookDelivery, WebhookEndpoint
from automations.notices import endpoints
from automations.views import access
from automations.views.paging import cut

POLL = 2_000  # milliseconds, while something is on its way
LOOKS = {"pending": "waiting", "delivered": "completed", "failed": "failed"}


@require_http_methods(["GET", "HEAD", "POST"])
def webhooks(request: PageRequest) -> HttpResponse:
    """The environment's endpoints; the secret of a new one is shown this once."""
    access.require(request, "admin")
    form = WebhookForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        given = form.cleaned_data
        try:
            endpoint, secret = endpoints.create(
                environment=request.environment, url=given["url"], events=given["events"],
                description=given["description"], by=request.user.actor,
            )  # fmt: skip
        except Refusal as refusal:
            form.point_out(refusal)
        else:
            return _shown(request, endpoint, secret)
    rows = WebhookEndpoint.objects.filter(environment=request.environment).order_by("-pk")
    context = {"form": form, "endpoints": rows}
    return render(request, "automations/webhooks.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def webhook(request: PageRequest, uid: UUID) -> HttpResponseBase:
    """One endpoint and its deliveries; it is changed, rolled, tested, switched and removed here."""
    access.require(request, "admin")
    endpoint = _found(request, uid)
    if request.method != "POST":
        given = {name: getattr(endpoint, name) for name in WebhookForm.base_fields}
        return _page(request, endpoint, WebhookForm(initial=given))
    do = request.POST.get("do", "save")
    if do == "save":
        return _saved(request, endpoint)
    try:
        return _done(request, endpoint, do)
    except Refusal as refusal:
        messages.error(request, sentence(refusal.message))
        return redirect("webhooks:one", uid)


@require_POST
def retry(request: PageRequest, uid: UUID, delivery: UUID) -> HttpResponseBase:
    """Has the delivery tried now, whatever came of it before."""
    access.require(request, "admin")
    _found(request, uid)
    try:
        endpoints.retry(environment=request.environment, uid=uid, delivery=delivery)
    except Refusal as refusal:
        messages.error(request, sentence(refusal.message))
    else:
        messages.info(request, "It is tried again now.")
    return redirect("webhooks:one", uid)


def _saved(request: PageRequest, endpoint: WebhookEndpoint) -> HttpResponseBase:
    form = WebhookForm(request.POST)
    if form.is_valid():
        try:
            endpoints.change(
                environment=request.environment,
                uid=endpoint.pk,
                changes=form.cleaned_data,
                by=request.user.actor,
            )
        except Refusal as refusal:
            form.point_out(refusal)
        else:
            messages.info(request, "Saved: in force from now on.")
            return redirect("webhooks:one", endpoint.pk)
    return _page(request, endpoint, form, status=422)


def _done(request: PageRequest, endpoint: WebhookEndpoint, do: str) -> HttpResponseBase:
    """What the button says. Refusal where that cannot be; Http404 for a button that there is not."""
    which: dict[str, Any] = {"environment": request.environment, "uid": endpoint.pk}
    by = request.user.actor
    if do == "roll":
        return _shown(request, *endpoints.roll(**which, by=by), is_rolled=True)
    actions: dict[str, tuple[Callable[[], object], str]] = {
        "disable": (
            lambda: endpoints.change(**which, changes={"disabled": True}, by=by),
            "It is told nothing more.",
        ),
        "enable": (
            lambda: endpoints.change(**which, changes={"disabled": False}, by=by),
            "It is told again.",
        ),
        "test": (lambda: endpoints.test(**which), "A test is on its way."),
        "remove": (lambda: endpoints.remove(**which, by=by), "The webhook is gone."),
    }
    if do not in actions:
        raise Http404("there is no such button")
    action, said = actions[do]
    action()
    messages.info(request, said)
    return redirect("webhooks:list") if do == "remove" else redirect("webhooks:one", endpoint.pk)


def _page(
    request: PageRequest, endpoint: WebhookEndpoint, form: WebhookForm, *, status: int = 200
) -> HttpResponse:
    deliveries = WebhookDelivery.objects.filter(endpoint=endpoint).select_related("run")
    page = cut(deliveries, request)
    is_moving = (
        endpoint.disabled_at is None and not page.newest and any(row.next_attempt_at for row in page.rows)
    )
    context = {
        "form": form, "endpoint": endpoint, "page": page, "poll_every": POLL if is_moving else 0,
        "lines": [(row, LOOKS[row.status], [_attempt(entry) for entry in row.log]) for row in page.rows],
    }  # fmt: skip
    return render(request, "automations/webhook.html", context, status=status)


def _attempt(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "at": datetime.fromisoformat(entry["at"])}


def _shown(
    request: PageRequest, endpoint: WebhookEndpoint, secret: str, *, is_rolled: bool = False
) -> HttpResponse:
    """The secret, this once."""
    context = {"endpoint": endpoint, "secret": secret, "is_rolled": is_rolled}
    return render(request, "automations/webhook_secret.html", context)


def _found(request: PageRequest, uid: UUID) -> WebhookEndpoint:
    with access.or_404():
        return endpoints.find(environment=request.environment, uid=uid)
