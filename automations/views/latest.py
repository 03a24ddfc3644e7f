"""The latest runs of one automation template, in its editor."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from automations.middleware import PageRequest
from automations.models import Run
from automations.views.editor import find, page

SHOWN = 20


@require_safe
def runs(request: PageRequest, key: str) -> HttpResponse:
    """The newest twenty; the logs have them all."""
    automation = find(request, key)
    mine = Run.objects.within(request.environment).filter(automation=automation)
    found = list(mine.listed().newest_first()[:SHOWN])
    return page(
        request,
        "runs",
        automation,
        tab="runs",
        runs=found,
        shown=SHOWN,
        may_cancel=request.user.can("cancel"),
    )
