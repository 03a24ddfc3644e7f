"""Lists of recipients in the browser: who is on them, put on and taken off, and where lists are made and removed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from automations.directory import lists as directory
from automations.forms.directory import RefusableForm
from automations.forms.lists import MembersForm, NameForm, NewListForm, RemoveForm
from automations.middleware import PageRequest
from automations.models import Recipient, RecipientList, Refusal
from automations.views import access
from automations.views.paging import SIZE, Page, at_its_address, cut


@require_http_methods(["GET", "HEAD", "POST"])
def listing(request: PageRequest) -> HttpResponseBase:
    """The environment's lists, the newest first; a POST makes one."""
    form = NewListForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        access.require(request, "write")
        if form.is_valid():
            try:
                made = directory.create(
                    environment=request.environment, **form.cleaned_data, by=request.user.actor
                )
            except Refusal as refusal:
                form.point_out(refusal)
            else:
                return redirect("recipients:one-list", made.key)
    rows = RecipientList.objects.filter(environment=request.environment).counted()
    context = {"page": cut(rows, request), "form": form, "may_write": request.user.can("write")}
    return render(request, "automations/lists.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def one(request: PageRequest, key: str) -> HttpResponseBase:
    """Who is on the list, with `q` those whose id begins so. A POST does what its button says."""
    row = _found(request, key)
    if request.method != "POST":
        return _page(request, row)
    access.require(request, "write")
    do = request.POST.get("do", "")
    if do == "drop":  # as it stands in the list, whatever that is
        with access.or_404():
            return _done(request, key, drop=request.POST.getlist("ticked"))
    forms: dict[str, RefusableForm] = {
        "name": NameForm(request.POST),
        "remove": RemoveForm(request.POST, key=key),
    }
    form = forms.get(do) or MembersForm(request.POST)
    if form.is_valid():
        try:
            return _asked(request, key, do, form.cleaned_data)
        except Refusal as refusal:
            form.point_out(refusal)
    return _page(request, row, status=422, **{f"{do if do in forms else 'members'}_form": form})


def _asked(request: PageRequest, key: str, do: str, given: dict[str, Any]) -> HttpResponseBase:
    """What the button says, done. Refusal for too many members."""
    if do == "remove":
        directory.remove(environment=request.environment, key=key, by=request.user.actor)
        messages.info(request, f"The list “{key}” is gone: a step that would send to it fails.")
        return redirect("recipients:lists")
    if do == "name":
        return _done(request, key, name=given["name"])
    return _done(request, key, **{"drop" if do == "take-off" else "add": given["members"]})


def _done(request: PageRequest, key: str, **changes: Any) -> HttpResponseBase:
    row = directory.change(environment=request.environment, key=key, by=request.user.actor, **changes)
    count = len(row.members)
    messages.info(request, f"Saved: the list has {count:,} member{'' if count == 1 else 's'} now.")
    return redirect("recipients:one-list", key)


def _page(request: PageRequest, row: RecipientList, *, status: int = 200, **forms: Any) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    page = _cut([member for member in row.members if member.startswith(text)], request, text)
    known = Recipient.objects.filter(environment=request.environment, key__in=page.rows)
    pages = dict(known.values_list("key", "pk"))
    context = {
        "list": row, "text": text, "page": page, "members": [(key, pages.get(key)) for key in page.rows],
        "may_write": request.user.can("write"), "members_form": MembersForm(),
        "name_form": NameForm(initial={"name": row.name}), "remove_form": RemoveForm(key=row.key),
        **forms,
    }  # fmt: skip
    response = render(request, "automations/recipient_list.html", context, status=status)
    return at_its_address(request, response, q=text)


def _cut(members: list[str], request: PageRequest, text: str) -> Page:
    """Fifty of them, from the place that the address names: a list has a thousand at most."""
    asked = request.GET.get("from", "")
    start = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 5 else 0
    kept = {"q": text} if text else {}
    following = urlencode({**kept, "from": start + SIZE}) if start + SIZE < len(members) else ""
    return Page(
        rows=members[start : start + SIZE],
        older=f"?{following}" if following else "",
        newest=f"?{urlencode(kept)}" if start else "",
    )


def _found(request: PageRequest, key: str) -> RecipientList:
    with access.or_404():
        return directory.find(environment=request.environment, key=key)
