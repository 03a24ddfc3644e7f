"""Shows what a cancellation token would be for sample data, and warns of tokens that too many runs would share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST

from automations import expressions
from automations.cancellation import unfinished_with_label
from automations.expressions import Advice, Explanation, Scope
from automations.forms import PreviewForm
from automations.middleware import PageRequest
from automations.models import KEY_PATTERN, Automation, Environment, LiveRun
from automations.views.access import actor, require

MOST_COUNTED = 1_000
WITHOUT = "run_without_token"
FORMS = {"literal": "Literal", "refs": "refs path", "javascript": "JavaScript", "text": "Text with {{path}}"}


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What the designer is told: a token, or why there is none, and what to mind."""

    token: str | None = None
    form: str = ""
    milliseconds: float = 0
    unfinished: int = 0
    others: Sequence[str] = ()
    warnings: Sequence[Advice] = ()
    problem: str = ""
    consequence: str = ""
    faults: Sequence[str] = field(default_factory=list)


@require_POST
def token_preview(request: PageRequest) -> HttpResponse:
    """The result alone, for htmx."""
    require(request, "invoke")
    form = PreviewForm(request.POST)
    key = request.POST.get("key", "")
    preview = preview_of(request, form, key=key if re.match(KEY_PATTERN, key) else "")
    return render(request, "automations/_token_preview.html", {"preview": preview})


def preview_of(request: PageRequest, form: PreviewForm, *, key: str) -> Preview:
    """The preview of a bound form, resolved as an invoke would resolve it."""
    form.is_valid()
    faults = [
        f"{form.fields[name].label}: {message}"
        for name in PreviewForm.base_fields for message in form.errors.get(name, ())
    ]  # fmt: skip
    if faults:
        return Preview(faults=faults)
    token, cleaned = form.cleaned_data["token"], form.cleaned_data
    if not token:
        return Preview()
    scope = Scope(
        data=cleaned["sample_data"], profile=cleaned["sample_profile"], now=timezone.now(), seed="preview",
        refs={"recipient": None, "template": key or None},
    )  # fmt: skip
    explained = expressions.explain(token, scope, owner=f"{request.environment.pk}/{actor(request)}")
    if explained.error is not None:
        return _failed(explained, runs_without=cleaned["on_unresolved_token"] == WITHOUT)
    return Preview(
        token=explained.value,
        form=FORMS[explained.form],
        milliseconds=explained.ms,
        unfinished=unfinished_with_label(
            environment=request.environment, token=explained.value, most=MOST_COUNTED + 1
        ),
        others=_others(request.environment, explained.value, key),
        warnings=explained.warnings,
    )


def _failed(explained: Explanation, *, runs_without: bool) -> Preview:
    error = explained.error
    assert error is not None
    consequence = "An invoke with such data is refused."
    if error.retryable:
        consequence = "Try again in a moment."
    elif runs_without and error.kind != "timeout":
        consequence = "A run with such data gets no token: no cancel by token will find it."
    return Preview(
        form=FORMS[explained.form],
        problem=error.message,
        consequence=consequence,
        warnings=[advice for advice in explained.warnings if advice.code != error.kind],
    )


def _others(environment: Environment, token: str, key: str) -> list[str]:
    """Other automations with unfinished runs that have this token now, at most ten."""
    live = LiveRun.objects.filter(environment=environment, token=token)[: MOST_COUNTED + 1].values(
        "automation"
    )
    found: Any = Automation.objects.filter(pk__in=live).exclude(key=key).order_by("name")
    return list(found.values_list("name", flat=True)[:10])
