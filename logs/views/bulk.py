"""The pages of cancellations: calling off many runs at once, and what came of each request to cancel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from automations.cancellation import CancelRequest, Shown, all_outstanding, cancel
from automations.models import Automation, Cancellation, CancellationFilter, Origin, Overdue, Refusal
from automations.rehearsal import Many, check_age, planned, rehearse
from automations.undo import AdminsOnly, anybody_may, undo
from logs import bulk_forms, http, words
from logs.bulk_forms import MOST_RUNS, ConfirmForm, FilterForm
from logs.cancellation_page import CancellationPage
from logs.carried import asked_by, unfinished
from logs.http import PageRequest
from logs.search import Search

SIZE = 50
UNDO_FOR = timedelta(minutes=10)
POLL = 1_000  # milliseconds
MANY = 10_000  # runs; to count more takes so long that the page comes first
LONGEST_QUERY = 2_000  # characters; servers and proxies refuse lines of 4,094
THESE = "these"  # in the address of a search: the very runs that it finds
COUNTED = "counted"  # in the address of a preview that counts however many there are


@require_safe
def history(request: PageRequest) -> HttpResponse:
    """Every request to cancel, newest first, also those that matched nothing."""
    rows = Cancellation.objects.filter(environment=request.environment).order_by("-pk")
    try:
        rows = rows.filter(pk__lt=UUID(request.GET["before"])) if "before" in request.GET else rows
    except ValueError:
        raise Http404("there is no such page") from None
    page = list(rows.defer("cancelled_run_ids")[: SIZE + 1])
    shown = page[:SIZE]
    unarchived = [row for row in shown if row.archived_at is None]
    left = all_outstanding(unarchived)
    context = {
        "lines": [(row, len(left.get(row.pk, ()))) for row in shown],
        "page": {
            "older": f"?before={shown[-1].pk}" if len(page) > SIZE else "",
            "newest": "?" if "before" in request.GET else "",
        },
        "may_cancel": request.user.can("cancel"),
    }
    return render(request, "logs/bulk.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: PageRequest) -> HttpResponseBase:
    """Which runs, what a cancel of them would hit, and the cancel itself: exactly what was shown, or nothing."""
    http.require(request, "cancel")
    if request.method == "POST":
        return _confirmed(request) if "plan" in request.POST else _previewed(request)
    search = Search.read(request.GET)
    given = {name: "\n".join(request.GET.getlist(name)) for name in FilterForm.base_fields}
    asked = {name: value for name, value in given.items() if value}
    if asked and replace(search, automation="") == Search():  # both have an automation
        return _page(request, FilterForm(asked), at_once=COUNTED in request.GET)
    return _carried(request, search)


def _carried(request: PageRequest, search: Search) -> HttpResponseBase:
    """The form as a search of the logs fills it in: by what it asks for or, where the form cannot ask for all of
    that, with the ids of the runs themselves."""
    environment, now = request.environment, timezone.now()
    carried = asked_by(search, environment=environment, now=now)
    named = unfinished(search, environment=environment, now=now) if carried.left_out else []
    told: dict[str, Any] = {"named": len(named), "most_named": MOST_RUNS}
    if THESE in request.GET and 0 < len(named) <= MOST_RUNS:
        form = FilterForm(initial={"run_ids": "\n".join(str(uid) for uid in named)})
        return _page(request, form, told=told | {"are_named": True})
    these = f"{reverse('logs:bulk-new')}{search.address()}&{THESE}=runs"
    return _page(
        request,
        FilterForm(initial=carried.fields),
        told=told | {"left_out": carried.left_out, "these": these},
    )


def _previewed(request: PageRequest) -> HttpResponseBase:
    """What was filled in leads to the address of its preview, which can be reloaded and passed on; what is wrong, or
    too long for an address, is answered at once."""
    form = FilterForm(request.POST)
    asked = {name: value for name in FilterForm.base_fields if (value := request.POST.get(name, ""))}
    query = urlencode(asked)
    if form.is_valid() and len(query) <= LONGEST_QUERY:
        return http.to_page(request, f"{reverse('logs:bulk-new')}?{query}")
    return _page(request, form)


def _page(
    request: PageRequest,
    form: FilterForm,
    *,
    confirm: ConfirmForm | None = None,
    refusal: str = "",
    told: Mapping[str, Any] | None = None,
    at_once: bool = True,
) -> HttpResponseBase:
    """The form and, once it is right, what would be hit."""
    confirm = confirm or ConfirmForm()
    context: dict[str, Any] = {"form": form, "confirm": confirm, "typed_above": bulk_forms.TYPED_ABOVE}
    if form.is_bound and form.is_valid():
        context |= _preview(request, form, at_once=at_once)
    if COUNTED in request.GET and http.wants_part(request):
        if form.errors:
            return http.to_page(request, request.get_full_path())
        return http.part(request, "logs/_plan.html", context)
    automations = Automation.objects.within(request.environment).offered()
    context |= {"refusal": refusal, "automations": automations, **(told or {})}
    status = 412 if refusal else 422 if form.errors or confirm.errors else 200
    return render(request, "logs/bulk_new.html", context, status=status)


def _preview(request: PageRequest, form: FilterForm, *, at_once: bool) -> dict[str, Any]:
    """What would be hit or, of many runs and unless `at_once`, the address at which that is counted; for a refusal
    the form has an error."""
    try:
        return {"shown": rehearse(_request_of(request, form.filter), most=None if at_once else MANY)}
    except Many:
        return {"many": MANY, "counted": f"{request.get_full_path()}&{COUNTED}=all"}
    except Refusal as error:
        form.add_error("automation" if error.code == "automation_not_found" else None, error.message)
        return {}


def _confirmed(request: PageRequest) -> HttpResponseBase:
    form = FilterForm(request.POST)
    try:
        plan = request.POST.get("plan", "")
        scope, shown = planned(plan, environment=request.environment)
        check_age(plan)
    except Refusal as error:
        return _page(request, form, refusal=_look_again(error))
    confirm = ConfirmForm(request.POST, most=shown.most)
    if not confirm.is_valid():
        return _page(request, form, confirm=confirm)
    try:
        done, _ = cancel(_request_of(request, scope, reason=confirm.cleaned_data["reason"], shown=shown))
    except Refusal as error:
        return _page(request, form, refusal=_look_again(error))
    return http.to_page(request, reverse("logs:cancellation", args=[done.pk]))


def _request_of(
    request: PageRequest, scope: CancellationFilter, *, reason: str = "", shown: Shown | None = None
) -> CancelRequest:
    return CancelRequest(
        environment=request.environment, filter=scope, actor=request.user.actor,
        origin=Origin.BROWSER, reason=reason, shown=shown, undo_for=UNDO_FOR,
    )  # fmt: skip


@require_safe
def cancellation(request: PageRequest, uid: UUID) -> HttpResponse:
    """What one request to cancel did: it polls until all is counted and every step in flight has ended."""
    row = http.cancellation_of(request, uid)
    page = CancellationPage(row)
    if http.wants_part(request) and request.GET.get("tag") == page.tag:
        return http.unchanged()
    address = reverse("logs:cancellation", args=[uid])
    context: dict[str, Any] = {
        "page": page,
        "cancellation": row,
        "poll": f"{address}?tag={page.tag}" if page.may_change else "",
        "poll_every": POLL,
        "may_undo": _may_undo(request, row),
        "runs": Search(cancellation=str(uid)).address(),
    }
    if http.wants_part(request):
        return http.part(request, "logs/_cancellation.html", context)
    return render(request, "logs/cancellation.html", context)


@require_POST
def undo_it(request: PageRequest, uid: UUID) -> HttpResponseBase:
    """Lets the runs of the cancellation go on."""
    http.cancellation_of(request, uid)
    http.require(request, "cancel")
    overdue = request.POST.get("overdue", Overdue.FIRE_NOW)
    rule = Overdue(overdue) if overdue in Overdue.values else Overdue.FIRE_NOW
    try:
        done = undo(
            environment=request.environment, pk=uid, actor=request.user.actor, overdue=rule,
            is_admin=request.user.can("admin"),
        )  # fmt: skip
    except AdminsOnly:
        http.require(request, "admin")
        raise
    except Refusal as refusal:
        messages.error(request, words.sentence(refusal.message))
    else:
        restored = "its runs go" if done.restored != 1 else "its run goes"
        messages.info(request, f"Undone: {restored} on.")
    return http.to_page(request, reverse("logs:cancellation", args=[uid]))


def _look_again(refusal: Refusal) -> str:
    return f"{words.sentence(refusal.message)} Look at the new preview."


def _may_undo(request: PageRequest, row: Cancellation) -> bool:
    if row.undone_at is not None or row.cancelled == 0:
        return False
    return request.user.can("cancel" if anybody_may(row, now=timezone.now()) else "admin")
