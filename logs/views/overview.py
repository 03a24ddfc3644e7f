"""The first page: how things stand."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from logs import http
from logs.http import PageRequest
from logs.overview import SPANS, Overview

POLL = 2_000  # milliseconds


@require_safe
def overview(request: PageRequest) -> HttpResponseBase:
    """What stands, what wakes next, who works; it polls."""
    span = request.GET.get("span", "")
    shown = Overview.read(
        environment=request.environment, span=span if span in SPANS else "hour", now=timezone.now(),
        workers=request.frame.workers,
    )  # fmt: skip
    if request.GET.get("tag") == shown.tag:
        return http.unchanged()
    address = reverse("logs:overview")
    context = {
        "overview": shown,
        "spans": [(key, label) for key, (label, *_) in SPANS.items()],
        "poll": f"{address}?span={shown.span}&tag={shown.tag}",
        "poll_every": POLL,
    }
    if not http.wants_part(request):
        return render(request, "logs/overview.html", context)
    polled = "tag" in request.GET
    return http.part(
        request, "logs/_overview.html", context, url=None if polled else f"{address}?span={shown.span}"
    )
