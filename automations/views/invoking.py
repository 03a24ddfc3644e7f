"""Runs an automation template from the browser, and shows the code that does the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from automations import execution
from automations.forms import InvokeForm, PreviewForm
from automations.forms.guesses import USUAL
from automations.invocation import InvokeRequest, Recipient
from automations.middleware import PageRequest, to_page
from automations.models import Automation, Refusal
from automations.views.access import require
from automations.views.drafts import draft_of
from automations.views.editor import find, page
from automations.views.preview import Preview, is_too_fast, preview_of, too_fast
from automations.views.samples import sample_of
from automations.views.snippets import APIS, Call, snippets

DIALECT = "ui"


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def invoke(request: PageRequest, key: str) -> HttpResponseBase:
    """A form; sent, it leads to the run. `do=preview` shows the token and the code for what is typed."""
    require(request, "invoke")
    automation = find(request, key)
    if request.method != "POST":
        initial = sample_of(automation) | {"idempotency_key": str(uuid4())}
        return _page(request, automation, InvokeForm(initial=initial), initial)
    form = InvokeForm(request.POST)
    if request.POST.get("do") == "preview":
        if is_too_fast(request):
            return too_fast(request)
        form.errors.clear()  # nothing is sent, so nothing is complained about
        return _page(request, automation, form, request.POST)
    if not form.is_valid():
        return _page(request, automation, form, request.POST, status=422)
    try:
        accepted = execution.accept(_request(request, automation, form.cleaned_data))
    except Refusal as refusal:
        form.point_out(refusal)
        return _page(request, automation, form, request.POST, status=422)
    if accepted.replayed:
        messages.info(request, "This was sent before: here is the one run of it.")
    return to_page(request, reverse("logs:run", args=[accepted.runs[0]["id"]]))


def _request(request: PageRequest, automation: Automation, given: dict[str, Any]) -> InvokeRequest:
    key = given["idempotency_key"] or None
    body = json.dumps([automation.key, given], sort_keys=True)
    return InvokeRequest(
        environment=request.environment, actor=request.user.actor, source=f"ui/{request.user.username}",
        dialect=DIALECT, automation=automation.key, idempotency_key=key, data=given["sample_data"],
        recipients=[Recipient(id=given["sample_recipient"] or None)], profile=given["sample_profile"],
        skips_delays=given["skips_delays"],
        fingerprint=hashlib.sha256(body.encode()).hexdigest() if key else None,
    )  # fmt: skip


def _page(
    request: PageRequest,
    automation: Automation,
    form: InvokeForm,
    typed: Mapping[str, str],
    *,
    status: int = 200,
) -> HttpResponse:
    """The form, and beside it what it would do."""
    preview, call = _tried(request, automation, typed)
    return page(
        request, "invoke", automation, tab="invoke", status=status, form=form, preview=preview,
        codes=snippets("native", call)[0].codes,
    )  # fmt: skip


@require_safe
def use(request: PageRequest, key: str) -> HttpResponse:
    """The code that invokes it and calls it off, for our own API and for the three vendors' packages."""
    automation = find(request, key)
    asked = request.GET.get("api", "")
    api = asked if asked in APIS else "native"
    call = Call(host=_host(request), automation=automation.key, data=USUAL, profile={})
    if request.user.can("invoke"):
        _, call = _tried(request, automation, sample_of(automation))
    blocks = snippets(api, call)
    return page(request, "use", automation, tab="use", apis=APIS.items(), api=api, call=call, blocks=blocks)


def _tried(request: PageRequest, automation: Automation, typed: Mapping[str, str]) -> tuple[Preview, Call]:
    """The token that a run with this sample would get now, and the invoke to be written down."""
    published = automation.published
    source = (published.definition if published else draft_of(automation)).get("cancellation_token")
    names = ("sample_data", "sample_profile", "sample_recipient")
    sample = {name: typed.get(name, "") for name in names}
    form = PreviewForm({**sample, "cancellation_token": source if isinstance(source, str) else ""})
    preview = preview_of(request, form, key=automation.key)
    given = form.cleaned_data
    call = Call(
        host=_host(request), automation=automation.key, data=given.get("sample_data", {}),
        profile=given.get("sample_profile", {}), recipient=given.get("sample_recipient") or None,
        token=preview.token,
    )  # fmt: skip
    return preview, call


def _host(request: PageRequest) -> str:
    return request.build_absolute_uri("/").rstrip("/")
