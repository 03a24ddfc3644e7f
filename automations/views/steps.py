"""The steps of an automation template: the list, a form for each step, and the whole as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods
from django_htmx.http import push_url

from automations.definition import Problem
from automations.definition.inputs import ACTION_INPUTS, ANY_ACTION
from automations.forms import JsonField, sentence
from automations.forms.inputs import Field, advise, fields_of, inputs_of, point_out, written
from automations.forms.layout import laid_out
from automations.forms.step_list import changed, label_of, steps_of, summary_of
from automations.middleware import PageRequest
from automations.models import Automation, Refusal
from automations.views.access import require
from automations.views.drafts import draft_of, problems_of
from automations.views.editor import NAMES, base_of, find, keep, number_of, page, saved, typed
from automations.views.resolving import resolved

NAMING = ("id", "name")  # which are no reason to show all that is folded away


class DefinitionForm(forms.Form):
    """A whole definition, typed."""

    definition = JsonField(of=dict)


@require_http_methods(["GET", "HEAD", "POST"])
def steps(request: PageRequest, key: str) -> HttpResponseBase:
    """The list; a POST adds, moves, duplicates or removes a step, `ask` shows the question before it is removed."""
    automation = find(request, key)
    if request.method != "POST":
        return _page(request, automation)
    require(request, "write")
    base, do = base_of(request, automation), request.POST.get("do", "")
    if do.startswith("ask."):
        return _page(
            request, automation, asked=number_of(do.removeprefix("ask.")),
            revision=request.POST.get("revision", ""), base=request.POST.get("base", ""),
        )  # fmt: skip
    try:
        now, place = changed(steps_of(base), do, order=request.POST.get("order", ""))
        kept = keep(request, automation, {**base, "steps": now})
    except ValueError:
        messages.warning(request, "That cannot be done with these steps.")
        return _page(request, automation, status=422)
    except Refusal as refusal:
        messages.warning(request, sentence(refusal.message))
        return _page(request, automation, status=422)
    if isinstance(kept, HttpResponse):
        return kept
    word = do.partition(".")[0]
    if word in ("order", "remove"):
        return redirect("templates:edit", key)
    return redirect(f"{reverse('templates:step', args=[key, place])}?by={word}")


@require_http_methods(["GET", "HEAD", "POST"])
def step(request: PageRequest, key: str, place: int) -> HttpResponseBase:
    """The list with one step open in its form."""
    automation = find(request, key)
    if request.method == "POST":
        require(request, "write")
        return _saved(request, automation, place)
    _step_at(steps_of(draft_of(automation)), place)
    return _page(request, automation, place=place)


def _saved(request: PageRequest, automation: Automation, place: int) -> HttpResponseBase:
    base = base_of(request, automation)
    now = list(steps_of(base))
    members = _step_at(now, place)
    if not isinstance(members, dict):
        raise Http404("this step is no object")
    now[place], fields = written(members, inputs_of(members), request.POST)
    if any(field.errors for field in fields):
        return _page(
            request, automation, place=place, fields=fields, status=422, is_unsaved=True,
            revision=request.POST.get("revision", ""), base=request.POST.get("base", ""),
        )  # fmt: skip
    try:
        kept = keep(request, automation, {**base, "steps": now})
    except Refusal as refusal:
        messages.warning(request, sentence(refusal.message))
        return _page(request, automation, place=place, fields=fields, status=422)
    if isinstance(kept, HttpResponse):
        return kept
    if request.htmx:
        return _page(request, kept, place=place, saved=saved())
    messages.success(request, saved())
    return redirect("templates:step", automation.key, place)


def _step_at(steps: list[Any], place: int) -> Any:
    if place >= len(steps):
        raise Http404("there is no such step")
    return steps[place]


def _page(
    request: PageRequest,
    automation: Automation,
    *,
    place: int | None = None,
    fields: Sequence[Field] | None = None,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    """The list, and the form of the step at `place`."""
    listed = steps_of(draft_of(automation))
    problems = problems_of(automation)
    context: dict[str, Any] = {
        "steps": [
            (at, step, label_of(step), summary_of(step), _count(problems, at))
            for at, step in enumerate(listed)
        ],
        "actions": ACTION_INPUTS.items(),
        "place": place,
        "by": request.GET.get("by", ""),
    }
    if place is not None and place < len(listed):
        context |= _form(listed[place], place, problems, fields)
        context["focused"] = _focused(context["fields"], context["more"], context["by"])
        if fields is None:
            context["resolved"] = resolved(request, automation, place)
    response = page(request, "steps", automation, tab="steps", status=status, **context, **more)
    # What htmx was redirected to after a change has an address of its own.
    return push_url(response, request.path) if request.htmx and request.method == "GET" else response


def _form(
    members: Any, place: int, problems: Sequence[Problem], fields: Sequence[Field] | None
) -> dict[str, Any]:
    """The form of a step, with the fields as they were typed, else as they are stored."""
    inputs = inputs_of(members)
    shown = list(fields or fields_of(members, inputs)) if isinstance(members, dict) else []
    more = [field for field in shown if field.input.more]
    unplaced = point_out(shown, problems, below=f"/steps/{place}")
    advise(field for field in shown if field.input.name not in NAMING)
    return {
        "label": label_of(members),
        "has_form": inputs is not ANY_ACTION,
        "unplaced": unplaced,
        "fields": [field for field in shown if not field.input.more],
        "more": more,
        "is_more_open": any(
            field.problems or (field.value and field.input.name not in NAMING) for field in more
        ),
    }


def _focused(fields: Sequence[Field], more: Sequence[Field], by: str) -> str:
    """The id of the field where one goes on: the first of a step just added, the first that is to be mended."""
    wanted = {"add": fields, "mend": [field for field in (*fields, *more) if field.problems]}
    return next((field.id for field in wanted.get(by, ())), "")


def _count(problems: Sequence[Problem], place: int) -> int:
    return sum(f"{problem.pointer}/".startswith(f"/steps/{place}/") for problem in problems)


@require_http_methods(["GET", "HEAD", "POST"])
def as_json(request: PageRequest, key: str) -> HttpResponseBase:
    """The whole draft as text. A form that says `name`, `alias` or `description` as well sets these, too."""
    automation = find(request, key)
    if request.method != "POST":
        form = DefinitionForm(initial={"definition": laid_out(draft_of(automation))})
        return page(request, "json", automation, tab="steps", form=form)
    require(request, "write")
    form = DefinitionForm(request.POST)
    if form.is_valid():
        names = {name: typed(request, name) for name in NAMES if name in request.POST}
        settings = {name: value or None if name == "alias" else value for name, value in names.items()}
        try:
            kept = keep(request, automation, form.cleaned_data["definition"], settings=settings)
        except Refusal as refusal:
            for problem in refusal.problems:
                form.add_error("definition", sentence(problem.message))
        else:
            if isinstance(kept, HttpResponse):
                return kept
            messages.success(request, saved())
            return redirect("templates:edit" if "keep" in request.POST else "templates:json", key)
    return page(
        request,
        "json",
        automation,
        tab="steps",
        form=form,
        status=422,
        revision=request.POST.get("revision", ""),
        problems=(),  # those of the draft are about something else than stands there
    )
