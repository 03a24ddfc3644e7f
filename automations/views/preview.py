"""Shows what a cancellation token would be for sample data, and warns of tokens that too many runs would share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from django_htmx.http import trigger_client_event

from automations import expressions
from automations.cancellation import still_to_hit
from automations.expressions import Advice, Explanation, Scope
from automations.forms import PreviewForm
from automations.middleware import PageRequest
from automations.models import Automation, CancellationFilter, Environment
from automations.views.access import require
from automations.views.editor import find

MOST_COUNTED = 1_000
MOST_SHOWN = 10
A_SECOND = 5  # previews of one person
WITHOUT = "run_without_token"
FORMS = {"literal": "Literal", "refs": "refs path", "javascript": "JavaScript", "text": "Text with {{path}}"}


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What the designer is told: a token, or why there is none, and what to mind. `sharing` says how many of the
    `unfinished` runs that have the token now are of which automation (name, key; None for ad hoc steps)."""

    token: str | None = None
    form: str = ""
    milliseconds: float = 0
    unfinished: int = 0
    sharing: Sequence[tuple[str | None, str | None, int]] = ()
    others: Sequence[str] = ()
    warnings: Sequence[Advice] = ()
    problem: str = ""
    consequence: str = ""
    faults: Sequence[str] = field(default_factory=list)


@sensitive_post_parameters()
@require_POST
def token_preview(request: PageRequest, key: str) -> HttpResponse:
    """The result alone, for htmx."""
    require(request, "invoke")
    automation = find(request, key)
    if is_too_fast(request):
        return too_fast(request)
    preview = preview_of(request, PreviewForm(request.POST), key=automation.key)
    return render(request, "automations/_token_preview.html", {"preview": preview})


def is_too_fast(request: PageRequest) -> bool:
    """Whether this person has asked for more than five previews within this second."""
    name = f"preview/{request.user.pk}/{int(time.time())}"
    cache.add(name, 0, timeout=5)
    try:
        return int(cache.incr(name)) > A_SECOND
    except ValueError:  # it has just lapsed
        return False


def too_fast(request: PageRequest) -> HttpResponse:
    """429, in a line for the toast, with an event upon which the page asks again a second later."""
    return trigger_client_event(render(request, "automations/_too_fast.html", status=429), "too-fast")


def preview_of(request: PageRequest, form: PreviewForm, *, key: str) -> Preview:
    """The preview of a bound form, resolved as an invoke would resolve it."""
    form.is_valid()
    faults = [
        f"{form.fields[name].label}: {message}"
        for name in PreviewForm.base_fields for message in form.errors.get(name, ())
    ]  # fmt: skip
    if faults:
        return Preview(faults=faults)
    token, cleaned = form.cleaned_data["cancellation_token"], form.cleaned_data
    if not token:
        return Preview()
    scope = scope_of(cleaned, key=key)
    explained = expressions.explain(token, scope, owner=f"{request.environment.pk}/{request.user.actor}")
    if explained.error is not None:
        return _failed(explained, runs_without=cleaned["on_unresolved_token"] == WITHOUT)
    unfinished, sharing = _sharing(request.environment, explained.value)
    return Preview(
        token=explained.value,
        form=FORMS[explained.form],
        milliseconds=explained.ms,
        unfinished=unfinished,
        sharing=sharing,
        others=[name or "ad hoc steps" for name, other, _ in sharing if other != key],
        warnings=explained.warnings,
    )


def scope_of(sample: Mapping[str, Any], *, key: str) -> Scope:
    """What expressions read in a run with this sample (a SampleForm's) of the automation of that key."""
    return Scope(
        data=sample["sample_data"], profile=sample["sample_profile"], now=timezone.now(), seed="preview",
        refs={"recipient": sample["sample_recipient"] or None, "template": key},
    )  # fmt: skip


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


def _sharing(environment: Environment, token: str) -> tuple[int, list[tuple[str | None, str | None, int]]]:
    """How many runs a cancel by this token would hit now, counted so far, and of which automations they are."""
    runs = still_to_hit(environment, CancellationFilter(token=token))
    counts = Counter(runs.values_list("automation", flat=True)[: MOST_COUNTED + 1])
    found = Automation.objects.filter(pk__in=[pk for pk in counts if pk is not None])
    names = {pk: (name, key) for pk, name, key in found.values_list("pk", "name", "key")}
    shown = [(*names.get(pk, (None, None)), count) for pk, count in counts.most_common(MOST_SHOWN)]
    return counts.total(), shown
