"""Creates, edits and publishes an automation template in one form."""

from __future__ import annotations

import difflib
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from automations import publication
from automations.definition import DefinitionError, Problem, parse
from automations.forms import AutomationForm
from automations.middleware import PageRequest
from automations.models import Automation, No, Refusal
from automations.views.access import actor, require
from automations.views.layout import laid_out
from automations.views.listing import draft_of, standing
from automations.views.preview import preview_of

FIRST_STEPS = [
    {"action": "send", "message": {"content": {"title": "Welcome", "body": "Good to have you, {{data.user_id}}."}}},
    {"action": "delay", "duration": "1 day"},
    {"action": "send", "message": {"content": {"title": "Still there?", "body": "One step left."}}},
]  # fmt: skip
FIRST_TOKEN = "onboarding-{{data.user_id}}"  # noqa: S105  (an expression)
SAMPLE = {"user_id": "user_123"}
LARGEST_SAMPLE = 4_000


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: PageRequest) -> HttpResponseBase:
    """A form with an example in it; saved, it becomes a draft."""
    require(request, "write")
    if request.method != "POST":
        initial = {"token": FIRST_TOKEN, "steps": laid_out(FIRST_STEPS), "sample_data": laid_out(SAMPLE)}
        return _page(request, AutomationForm(initial=initial | {"sample_profile": "{}"}))
    form = AutomationForm(request.POST)
    if request.POST.get("do") == "preview":
        return _previewed(request, form)
    if not form.is_valid():
        return _page(request, form, status=422)
    cleaned = form.cleaned_data
    try:
        automation = publication.create(
            environment=request.environment, key=cleaned["key"], name=cleaned["name"],
            alias=cleaned["alias"] or None, definition=form.definition({}), by=actor(request),
        )  # fmt: skip
    except Refusal as refusal:
        form.point_out(refusal.problems)
        return _page(request, form, status=422)
    return _published(request, form, automation)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: PageRequest, key: str) -> HttpResponseBase:
    """The template's form; for those who may not write, to read."""
    automation = _find(request, key)
    if request.method != "POST":
        return _page(request, AutomationForm(initial=_initial(automation)), automation)
    require(request, "write")
    form = AutomationForm({**request.POST.dict(), "key": key})
    if request.POST.get("do") == "preview":
        return _previewed(request, form, automation)
    if not form.is_valid():
        return _page(request, form, automation, status=422, revision=request.POST.get("revision", ""))
    cleaned = form.cleaned_data
    try:
        saved = publication.save_draft(
            environment=request.environment, key=key, definition=form.definition(draft_of(automation)),
            by=actor(request), revision=cleaned["revision"] or 0,
            settings={"name": cleaned["name"], "alias": cleaned["alias"] or None},
        )  # fmt: skip
    except Refusal as refusal:
        if refusal.kind is No.STALE:
            return _conflict(request, form, _find(request, key))
        form.point_out(refusal.problems)
        return _page(request, form, automation, status=422, revision=cleaned["revision"])
    return _published(request, form, saved)


def _published(request: PageRequest, form: AutomationForm, automation: Automation) -> HttpResponseBase:
    """Publishes the saved draft when that was asked for; what stands against it is said at its field."""
    address = reverse("templates:edit", args=[automation.key])
    if request.POST.get("do") != "publish":
        saved = f"Draft saved {timezone.localtime(automation.updated_at):%H:%M:%S}."
        messages.success(
            request, f"{saved} It cannot be published yet." if _problems(automation.draft) else saved
        )
        return redirect(address)
    try:
        version = publication.publish(
            environment=request.environment,
            key=automation.key,
            by=actor(request),
            note=form.cleaned_data["note"],
            revision=automation.draft_revision,
        )
    except Refusal as refusal:
        if refusal.kind is No.STALE:
            return _conflict(request, form, _find(request, automation.key))
        form.point_out(refusal.problems)
        messages.warning(request, "The draft is saved. It was not published.")
        return _page(request, form, automation, status=422)
    said = (
        f"Published as version {version.number}. Runs that have started keep their version and their token."
    )
    messages.success(request, said)
    return redirect(address)


def _previewed(
    request: PageRequest, form: AutomationForm, automation: Automation | None = None
) -> HttpResponse:
    """The form as it was typed, with the token beside it: for browsers without JavaScript."""
    preview = preview_of(request, form, key=automation.key if automation else "")
    form.errors.clear()  # nothing was saved, so nothing else is complained about
    return _page(request, form, automation, revision=request.POST.get("revision", ""), preview=preview)


def _conflict(request: PageRequest, form: AutomationForm, theirs: Automation) -> HttpResponse:
    """Somebody saved in between: both versions, and a form that saves over theirs if it is sent again."""
    diff = _difference(draft_of(theirs), form.definition(draft_of(theirs)))
    return _page(request, form, theirs, status=412, diff=diff)


def _page(
    request: PageRequest,
    form: AutomationForm,
    automation: Automation | None = None,
    *,
    status: int = 200,
    revision: int | str | None = None,
    **more: Any,
) -> HttpResponse:
    """The form's page. `revision` is what the form was made from; by default what the database holds now."""
    if revision is None:
        revision = automation.draft_revision if automation else ""
    context = {
        "form": form,
        "automation": automation,
        "standing": standing(automation) if automation else None,
        "revision": revision,
        "may_write": request.user.can("write"),
        "may_preview": request.user.can("invoke"),
        "problems": _problems(automation.draft) if automation and not form.is_bound else [],
    }
    return render(request, "automations/editor.html", context | more, status=status)


def _find(request: PageRequest, key: str) -> Automation:
    try:
        return publication.find(environment=request.environment, key=key)
    except Refusal as refusal:
        raise Http404(refusal.message) from refusal


def _initial(automation: Automation) -> dict[str, Any]:
    draft = draft_of(automation)
    last = (
        automation.runs.filter(environment=automation.environment_id)
        .select_related("invocation")
        .order_by("-pk")
        .first()
    )
    data = laid_out(last.invocation.data) if last else ""
    return {
        "name": automation.name,
        "key": automation.key,
        "alias": automation.alias or "",
        "token": draft.get("cancellation_token", ""),
        "on_unresolved_token": draft.get("on_unresolved_token", "reject"),
        "steps": laid_out(draft.get("steps", [])),
        "sample_data": data if 0 < len(data) <= LARGEST_SAMPLE else laid_out(SAMPLE),
        "sample_profile": "{}",
    }


def _problems(draft: dict[str, Any]) -> list[Problem]:
    """What stands against publishing it."""
    try:
        parse(draft)
    except DefinitionError as error:
        return error.problems
    return []


def _difference(theirs: object, mine: object) -> list[tuple[str, str]]:
    """The lines of both, each marked with " ", "-" (theirs) or "+" (mine)."""
    lines = difflib.ndiff(laid_out(theirs).splitlines(), laid_out(mine).splitlines())
    return [(line[0], line[2:]) for line in lines if line[0] != "?"]
