"""What the editor's pages share: the automation, its tabs, saving behind the revision, and what two people wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django_htmx.http import reselect, reswap, retarget

from automations import publication
from automations.definition import Problem
from automations.definition.difference import difference, same
from automations.forms import parse_json
from automations.forms.layout import laid_out
from automations.forms.step_list import label_of, summary_of
from automations.middleware import PageRequest
from automations.models import Automation, No, Refusal
from automations.views.access import or_404
from automations.views.drafts import draft_of, problems_of
from automations.views.listing import standing

NAMES = ("name", "alias", "description")


def find(request: PageRequest, key: str) -> Automation:
    """The automation of the environment that is looked at; 404 without one."""
    with or_404():
        return publication.find(environment=request.environment, key=key)


def page(
    request: PageRequest, template: str, automation: Automation, *, tab: str, status: int = 200, **more: Any
) -> HttpResponse:
    """A page of the editor. `revision` and `base` (of the draft that a form was made from) are the stored ones
    unless they are given."""
    draft = draft_of(automation)
    context = {
        "automation": automation,
        "tab": tab,
        "standing": standing(automation, draft),
        "revision": automation.draft_revision,
        "base": json.dumps(draft, ensure_ascii=False),
        "draft": draft,
        "problems": [(problem, _place_of(problem)) for problem in problems_of(automation)],
        "may_write": request.user.can("write"),
        "may_invoke": request.user.can("invoke"),
    }
    return render(request, f"automations/{template}.html", context | more, status=status)


def typed(request: PageRequest, name: str, otherwise: str = "") -> str:
    """What was typed there, without the NUL that a database could not store."""
    return request.POST.get(name, otherwise).replace("\0", "")


def number_of(text: str) -> int | None:
    """The revision, or version, that a form or an address names; None for what cannot be one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def saved() -> str:
    """What is said when a form was saved, in the zone of the page."""
    return f"Saved {timezone.localtime():%H:%M:%S}"


def _place_of(problem: Problem) -> int | None:
    """The place of the step that it is about; None for a problem with anything else."""
    parts = problem.pointer.split("/")
    return int(parts[2]) if parts[1:2] == ["steps"] and parts[2:] else None


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """How one definition differs from another, as the page shows it."""
    found = difference(before, after)
    changes = [(change, label_of(change.step), summary_of(change.step)) for change in found.steps]
    return {"difference": found, "changes": changes}


def base_of(request: PageRequest, automation: Automation) -> dict[str, Any]:
    """The draft that a form was made from: the stored one, or, when somebody saved since, what the form carried."""
    if request.POST.get("revision") != str(automation.draft_revision):
        try:
            carried = parse_json(request.POST.get("base", ""))
        except ValidationError:
            carried = None
        if isinstance(carried, dict):
            return carried
    return draft_of(automation)


def keep(
    request: PageRequest,
    automation: Automation,
    mine: Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
) -> Automation | HttpResponse:
    """Saves the draft of a form, and gives it; when somebody saved since the form was made, a page with both
    versions. Refusal for anything else that stands against it."""
    revision = number_of(request.POST.get("revision", "")) or 0
    changed = {name: value for name, value in (settings or {}).items() if value != getattr(automation, name)}
    if revision == automation.draft_revision and not changed and same(dict(mine), draft_of(automation)):
        return automation
    try:
        return publication.save_draft(
            environment=request.environment, key=automation.key, definition=mine, by=request.user.actor,
            revision=revision, settings=settings,
        )  # fmt: skip
    except Refusal as refusal:
        if refusal.kind is not No.STALE:
            raise
        return _conflict(request, find(request, automation.key), mine, settings or {})


def _conflict(
    request: PageRequest, theirs: Automation, mine: Mapping[str, Any], settings: Mapping[str, Any]
) -> HttpResponse:
    """Both versions, and a form that puts mine over theirs."""
    names = {name: getattr(theirs, name) for name in settings}
    response = page(
        request, "conflict", theirs, tab="steps", status=412, mine=laid_out(mine), settings=settings,
        **compared({**draft_of(theirs), **names}, {**mine, **settings}),
    )  # fmt: skip
    return (
        reselect(retarget(reswap(response, "outerHTML"), "#editor"), "#editor") if request.htmx else response
    )
