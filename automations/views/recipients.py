"""Recipients in the browser: found by the beginning of their id, each with its profile and its runs."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from automations.directory import recipients as directory
from automations.forms.directory import NewRecipientForm, RecipientForm
from automations.forms.layout import laid_out
from automations.forms.lists import RemoveForm
from automations.middleware import PageRequest
from automations.models import LONGEST_RECIPIENT, Recipient, RecipientList, Refusal, Run
from automations.views import access
from automations.views.paging import at_its_address, cut

RUNS = 10
LISTS = 50


@require_safe
def recipients(request: PageRequest) -> HttpResponse:
    """Whom the environment knows, the newest first; with `q`, those whose id begins so."""
    text = request.GET.get("q", "").strip()
    rows = Recipient.objects.filter(environment=request.environment)
    if text:
        is_id = len(text) <= LONGEST_RECIPIENT and "\0" not in text
        rows = rows.filter(key__has_prefix=text) if is_id else rows.none()
    context = {
        "text": text,
        "page": cut(rows, request, query={"q": text}),
        "may_write": request.user.can("write"),
    }
    return at_its_address(request, render(request, "automations/recipients.html", context), q=text)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: PageRequest) -> HttpResponseBase:
    """A recipient written down before the first invoke names it."""
    access.require(request, "write")
    form = NewRecipientForm(request.POST if request.method == "POST" else None, initial={"profile": "{}"})
    if form.is_valid():
        key = form.cleaned_data["key"]
        if Recipient.objects.filter(environment=request.environment, key=key).exists():
            form.add_error("key", "This recipient is known already.")
        elif (saved := _saved(request, form, key)) is not None:
            return redirect("recipients:one", saved.pk)
    return render(
        request, "automations/recipient_new.html", {"form": form}, status=422 if form.is_bound else 200
    )


@require_http_methods(["GET", "HEAD", "POST"])
def recipient(request: PageRequest, pk: int) -> HttpResponseBase:
    """What is known of one, and its newest runs."""
    row = get_object_or_404(Recipient, environment=request.environment, pk=pk)
    form = RecipientForm(initial={"profile": laid_out(row.profile)})
    away = RemoveForm(key=row.key, what="recipient")
    if request.method == "POST" and request.POST.get("do") == "remove":
        access.require(request, "write")
        away = RemoveForm(request.POST, key=row.key, what="recipient")
        if away.is_valid():
            directory.remove(environment=request.environment, key=row.key)
            messages.info(request, f"Nothing is known of {row.key} any more.")
            return redirect("recipients:list")
    elif request.method == "POST":
        access.require(request, "write")
        form = RecipientForm(request.POST)
        if form.is_valid() and _saved(request, form, row.key) is not None:
            messages.info(request, "Saved: runs invoked from now on go by it.")
            return redirect("recipients:one", pk)
    context = {**_about(request, row), "form": form, "remove_form": away}
    status = 422 if form.is_bound or away.is_bound else 200
    return render(request, "automations/recipient.html", context, status=status)


def _about(request: PageRequest, row: Recipient) -> dict[str, Any]:
    """The recipient's newest runs, and the lists it is on."""
    runs = Run.objects.within(request.environment).found_by(
        row.key, environment=request.environment, fields=["recipient"], whole=True
    )
    mine = RecipientList.objects.filter(environment=request.environment).with_member(row.key)
    lists = list(mine.defer("members").order_by("key")[: LISTS + 1])
    return {
        "recipient": row,
        "runs": runs.listed().newest_first()[:RUNS],
        "lists": lists[:LISTS],
        "are_more_lists": len(lists) > LISTS,
        "may_write": request.user.can("write"),
    }


def _saved(request: PageRequest, form: RecipientForm, key: str) -> Recipient | None:
    """The recipient with the form's profile; None where it was refused, which the form then says."""
    try:
        row, _ = directory.replace(
            environment=request.environment, key=key, profile=form.cleaned_data["profile"]
        )
    except Refusal as refusal:
        form.point_out(refusal)
        return None
    return row
