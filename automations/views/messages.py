"""Message templates in the browser: listed, written, and tried out on a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from automations.directory import templates as directory
from automations.forms import sentence
from automations.forms.directory import MessageForm, SampleForm
from automations.forms.layout import laid_out
from automations.forms.lists import RemoveForm
from automations.middleware import PageRequest
from automations.models import MessageTemplate, Refusal, Wording
from automations.views import access
from automations.views.paging import cut

SAMPLE = {
    "sample_data": '{"name": "Ana"}',
    "sample_profile": '{"email": "ana@example.com"}',
    "channel": "console",
}
FIRST = {"title": "Hello {{data.name}}", "body": "Good to have you here.", "channels": "{}"}


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a message would say on that channel, or why it says nothing."""

    channel: str
    wording: Wording | None = None
    warnings: tuple[str, ...] = ()
    problem: str = ""


@require_safe
def listing(request: PageRequest) -> HttpResponse:
    """The environment's message templates, the newest first."""
    rows = MessageTemplate.objects.filter(environment=request.environment).defer("body", "channels")
    context = {"page": cut(rows, request), "may_write": request.user.can("write")}
    return render(request, "automations/messages.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: PageRequest) -> HttpResponseBase:
    """A form with an example in it."""
    access.require(request, "write")
    if request.method != "POST":
        return _page(request, MessageForm(initial=FIRST))
    form = MessageForm(request.POST)
    if request.POST.get("do") == "preview":
        return _page(request, form, preview=_preview(request, form))
    if form.is_valid():
        key = form.cleaned_data["key"]
        try:
            directory.create(environment=request.environment, key=key, by=request.user.actor, said=form.said)
        except Refusal as refusal:
            form.point_out(refusal)
        else:
            messages.info(request, "Saved: steps may send it from now on.")
            return redirect("messages:one", key)
    return _page(request, form, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
def message(request: PageRequest, key: str) -> HttpResponseBase:
    """One message template; for those who may not write, to read and to try out."""
    row = _found(request, key)
    given = {name: getattr(row, name) for name in ("key", "name", "title", "body")}
    stored = MessageForm(initial={**given, "channels": laid_out(row.channels)})
    if request.method != "POST":
        return _page(request, stored, row)
    do = request.POST.get("do", "save")
    access.require(request, "invoke" if do == "preview" else "write")
    form = MessageForm({**request.POST.dict(), "key": key})
    if do == "preview":
        return _page(request, form, row, preview=_preview(request, form))
    if do == "remove":
        typed = RemoveForm(request.POST, key=key, what="message")
        if not typed.is_valid():
            return _page(request, stored, row, status=422, remove_form=typed)
        directory.remove(environment=request.environment, key=key, by=request.user.actor)
        messages.info(request, f"The message “{key}” is gone: a step that would send it fails.")
        return redirect("messages:list")
    if not form.is_valid():
        return _page(request, form, row, status=422)
    directory.replace(environment=request.environment, key=key, by=request.user.actor, said=form.said)
    messages.info(request, "Saved: steps performed from now on send this.")
    return redirect("messages:one", key)


def _preview(request: PageRequest, form: MessageForm) -> Preview | None:
    """The message as it is typed, filled in; None where the form says what is wrong with it."""
    sample = SampleForm(request.POST)
    if not form.is_valid() or not sample.is_valid():
        faults = [*form.errors.values(), *sample.errors.values()]
        return Preview(channel="", problem=" ".join(str(said) for fault in faults for said in fault))
    given, channel = sample.cleaned_data, sample.cleaned_data["channel"] or "console"
    try:
        wording, warnings = directory.preview(
            MessageTemplate(environment=request.environment, key=form.cleaned_data["key"], **form.said),
            data=given["sample_data"], profile=given["sample_profile"], recipient="sample", channel=channel,
            now=timezone.now(), owner=f"{request.environment.pk}/{request.user.actor}",
        )  # fmt: skip
    except Refusal as refusal:
        return Preview(channel=channel, problem=sentence(refusal.message))
    return Preview(
        channel=channel, wording=wording, warnings=tuple(sentence(warning.message) for warning in warnings)
    )


def _page(
    request: PageRequest,
    form: MessageForm,
    row: MessageTemplate | None = None,
    *,
    status: int = 200,
    preview: Preview | None = None,
    remove_form: RemoveForm | None = None,
) -> HttpResponse:
    posted = {name: request.POST[name] for name in SampleForm.base_fields if name in request.POST}
    context: dict[str, Any] = {
        "form": form, "message_template": row, "preview": preview, "sample": SampleForm(initial={**SAMPLE, **posted}),
        "remove_form": remove_form or (RemoveForm(key=row.key, what="message") if row else None),
        "may_write": request.user.can("write"), "may_preview": request.user.can("invoke"),
    }  # fmt: skip
    return render(request, "automations/message.html", context, status=status)


def _found(request: PageRequest, key: str) -> MessageTemplate:
    with access.or_404():
        return directory.find(environment=request.environment, key=key)
