"""The audit log: who changed what, from where."""

from __future__ import annotations

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from logs import http
from logs.audit import ACTIONS, AuditSearch, as_csv
from logs.http import PageRequest


@require_safe
def audit(request: PageRequest) -> HttpResponse:
    """What was changed in the environment, and in all of them, newest first."""
    http.require(request, "admin")
    search = AuditSearch.read(request.GET)
    entries, older = search.page(request.environment)
    context = {
        "search": search,
        "entries": entries,
        "actions": ACTIONS.items(),
        "page": {
            "older": search.address(before=older) if older else "",
            "newest": (search.address(before=None) or "?") if search.before else "",
        },
        "export": reverse("logs:audit-csv") + search.address(before=None),
    }
    return render(request, "logs/audit.html", context)


@require_safe
def exported(request: PageRequest) -> HttpResponseBase:
    """Everything that the filter finds, streamed as a file."""
    http.require(request, "admin")
    lines = as_csv(AuditSearch.read(request.GET), environment=request.environment)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    name = f"audit-{request.environment.key}-{timezone.now():%Y%m%d-%H%M%S}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
