"""The versions of an automation template: what each says, how two differ, publishing a draft, taking one back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from automations import publication
from automations.forms import NOTE_LENGTH, sentence
from automations.middleware import PageRequest
from automations.models import Automation, No, Refusal
from automations.views.access import require
from automations.views.drafts import draft_of, problems_of
from automations.views.editor import compared, find, keep, number_of, page, typed

MOST_SHOWN = 100
DRAFT = "draft"


@require_http_methods(["GET", "HEAD", "POST"])
def versions(request: PageRequest, key: str) -> HttpResponseBase:
    """The newest versions, and with `from` and `to` how two differ. A POST takes one back into the draft."""
    automation = find(request, key)
    if request.method == "POST":
        require(request, "write")
        return _restored(request, automation)
    found = list(automation.versions.order_by("-number").defer("definition")[:MOST_SHOWN])
    context: dict[str, Any] = {"versions": found}
    newest = found[0].number if found else 0
    before, after = request.GET.get("from", str(newest)), request.GET.get("to", DRAFT)
    if newest:
        said = [_said(automation, name) for name in (before, after)]
        context |= {"before": before, "after": after, **compared(*said)}
    return page(request, "versions", automation, tab="versions", **context)


def _restored(request: PageRequest, automation: Automation) -> HttpResponseBase:
    number = request.POST.get("number", "")
    kept = keep(request, automation, _said(automation, number))
    if isinstance(kept, HttpResponse):
        return kept
    messages.success(request, f"The draft says what version {number} does. Publish it to put it in force.")
    return redirect("templates:edit", automation.key)


def _said(automation: Automation, name: str) -> dict[str, Any]:
    """What the version of that number says, or the draft; 404 for anything else."""
    if name == DRAFT:
        return draft_of(automation)
    number = number_of(name)
    version = None if number is None else automation.versions.filter(number=number).first()
    if version is None:
        raise Http404("there is no such version")
    return dict(version.definition)


@require_http_methods(["GET", "HEAD", "POST"])
def publish(request: PageRequest, key: str) -> HttpResponseBase:
    """What publishing the draft would change, and for which runs; a POST does it, as it was shown or not at all."""
    require(request, "write")
    automation = find(request, key)
    if request.method != "POST":
        return _asked(request, automation)
    wanted: dict[str, Any] = {
        "environment": request.environment, "key": key, "by": request.user.actor, "note": typed(request, "note"),
        "revision": number_of(request.POST.get("revision", "")) or 0,
    }  # fmt: skip
    cancels = request.POST.get("running") == "cancel"
    try:
        if cancels:
            version, cancellation = publication.publish_and_cancel(**wanted)
        else:
            version, cancellation = publication.publish(**wanted), None
    except Refusal as refusal:
        is_stale = refusal.kind is No.STALE
        said = (
            "Somebody saved this draft after you had opened this page. This is how it stands now."
            if is_stale
            else sentence(refusal.message)
        )
        return _asked(request, find(request, key), status=412 if is_stale else 422, refusal=said)
    words = f"Published as version {version.number}."
    if cancellation is None:
        messages.success(request, f"{words} Runs that have started keep their version and their token.")
        return redirect("templates:edit", key)
    messages.success(request, f"{words} The runs of earlier versions are called off.")
    return redirect(reverse("templates:edit", args=[key]))


def _asked(
    request: PageRequest, automation: Automation, *, status: int = 200, refusal: str = ""
) -> HttpResponse:
    published = automation.published
    problems = problems_of(automation)
    number = None if problems else publication.would_publish(automation)
    return page(
        request, "publish", automation, tab="publish", status=status, refusal=refusal,
        **compared(published.definition if published else {}, draft_of(automation)),
        number=number, is_new=published is None or number != published.number,
        impact=publication.impact(automation) if published else None, note=typed(request, "note"),
        longest_note=NOTE_LENGTH, running=request.POST.get("running", "keep"),
    )  # fmt: skip
