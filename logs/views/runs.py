"""The list of runs, one run, and the cancel button."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from automations.cancellation import LONGEST_REASON, CancelRequest, cancel
from automations.models import Automation, Cancellation, CancellationFilter, Origin, Run, RunQuerySet
from logs import http, rows, words
from logs.export import FORMATS
from logs.http import PageRequest
from logs.overview import first_automation
from logs.run_page import RunPage
from logs.search import PRESETS, WAKES, Search, row_number

UNDO_FOR = timedelta(
    minutes=1
)  # for whoever may cancel; so long nobody else is told that the runs are cancelled
POLL_LIST = 2_000  # milliseconds
POLL_RUN = 1_000
POLL_NEWER = 5_000


@require_safe
def runs(request: PageRequest) -> HttpResponseBase:
    """The runs that the address asks for, newest first; a whole run id opens that run."""
    search = Search.read(request.GET)
    if search.uid is not None and _exists(request, search.uid):
        return http.to_page(request, reverse("logs:run", args=[search.uid]))
    now = timezone.now()
    found = search.runs(request.environment, now=now)
    if "since" in request.GET:
        return _newer(request, search, found)
    page, older = rows.read_page(search, environment=request.environment, runs=found)
    chips = rows.chips_of(search, runs=found, environment=request.environment)
    tag = rows.tag_of(page, chips)
    polled = "tag" in request.GET
    if polled and request.GET["tag"] == tag:
        return http.unchanged()
    address = reverse("logs:list") + search.address()
    context = {
        "search": search,
        "rows": rows.rows_of(page, now=now),
        "chips": chips,
        **_addresses(search, chips, older=older),
        "poll": "" if search.before else f"{address}{'&' if '?' in address else '?'}tag={tag}",
        "poll_every": POLL_LIST,
        "may_cancel": request.user.can("cancel"),
        "is_part": http.wants_part(request),
        "polled": polled,
        "presets": [(key, label) for key, (label, _) in PRESETS.items()],
        "first": None if page or search.narrows else first_automation(request.environment),
    }
    if search.before:
        context |= _since(search, Run.objects.within(request.environment).newest_pk())
    if context["is_part"]:
        return http.part(request, "logs/_results.html", context, url=None if polled else address)
    context["wakes"] = [(key, label) for key, (label, _) in WAKES.items()]
    context["automations"] = _automations(request, search.automation)
    return render(request, "logs/list.html", context)


def _addresses(search: Search, chips: Sequence[rows.Chip], *, older: int | None) -> dict[str, Any]:
    """Where the list leads: the same search with one thing changed."""
    return {
        "chip_addresses": [(chip, search.address(status=chip.status, before=None)) for chip in chips],
        "all_address": search.address(status="", before=None),
        "older": search.address(before=older) if older else "",
        "newest": search.address(before=None),
        "export": search.address(before=None),
        "any_time": search.address(started="", wakes="", before=None),
    }


def _automations(request: PageRequest, chosen: str) -> list[tuple[object, object]]:
    """Those to choose from, by key and name; with the one that is chosen, also where there are too many, or it is
    none."""
    mine = Automation.objects.within(request.environment)
    offered = [(one["key"], one["name"]) for one in mine.offered()]
    if chosen and chosen not in dict(offered):
        name = mine.filter(key=chosen).values_list("name", flat=True).first()
        offered.append((chosen, name or f"{chosen} (there is none)"))
    return offered


def _newer(request: PageRequest, search: Search, found: RunQuerySet) -> HttpResponseBase:
    """How many of the search's runs were invoked since an older page of it was opened."""
    since = row_number(request.GET["since"]) or 0
    newer = rows.count_newer(search, runs=found, environment=request.environment, since=since)
    context = _since(search, since) | {"newer": newer, "newest": search.address(before=None)}
    return http.part(request, "logs/_newer.html", context) if newer else http.unchanged()


def _since(search: Search, newest: int) -> dict[str, Any]:
    """What an older page asks by whether there are newer runs than the one that was the newest."""
    return {
        "newer_poll": f"{reverse('logs:list')}{search.address()}&since={newest}",
        "newer_every": POLL_NEWER,
    }


@require_safe
def exported(request: PageRequest, kind: str) -> HttpResponseBase:
    """Everything that the list's filters find, streamed as a file."""
    search = replace(Search.read(request.GET), before=None)
    content_type, lines = FORMATS[kind]
    now = timezone.now()
    response = StreamingHttpResponse(
        lines(search, environment=request.environment, now=now), content_type=content_type
    )
    name = f"runs-{request.environment.key}-{now:%Y%m%d-%H%M%S}.{kind}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_safe
def run(request: PageRequest, uid: UUID) -> HttpResponse:
    """One run: its panel polls while it is unfinished. One of another environment is offered there."""
    page = RunPage.read(uid=uid, environment=request.environment, now=timezone.now())
    if page is None:
        return http.missing_run(request, uid)
    if not http.wants_part(request):
        return render(request, "logs/run.html", _panel(request, page))
    if request.GET.get("tag") == page.tag:
        return http.unchanged()
    return http.part(request, "logs/_panel.html", _panel(request, page))


class CancelForm(forms.Form):
    """`scope`: this run only, or every unfinished run with its token. `on`: which page asked."""

    scope = forms.ChoiceField(
        choices=[("run", "This run only"), ("token", "All with this token")], required=False
    )
    reason = forms.CharField(max_length=LONGEST_REASON, required=False)


@require_http_methods(["GET", "HEAD", "POST"])
def cancel_run(request: PageRequest, uid: UUID) -> HttpResponseBase:
    """Asks before cancelling (a dialog, or without JavaScript a page), and cancels."""
    http.require(request, "cancel")
    page = _page(request, uid)
    form = CancelForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        if form.cleaned_data["scope"] == "token" and page.bulk_of_token:  # they have become many meanwhile
            return http.to_page(request, page.bulk_of_token)
        return _cancelled(request, page, form.cleaned_data)
    context = {
        "page": page,
        "form": form,
        "on": request.GET.get("on", "run"),
        "longest_reason": LONGEST_REASON,
    }
    if not http.wants_part(request):
        return render(request, "logs/cancel.html", context, status=422 if form.is_bound else 200)
    if form.is_bound:
        return http.refused(request, "logs/_cancel_dialog.html", context)
    return http.part(request, "logs/_cancel_dialog.html", context)


def _cancelled(request: PageRequest, page: RunPage, asked: dict[str, Any]) -> HttpResponseBase:
    run = page.run
    whole_token = asked["scope"] == "token" and page.offers_token
    scope = CancellationFilter(token=run.token) if whole_token else CancellationFilter(run_ids=(run.uid,))
    cancellation, _ = cancel(
        CancelRequest(
            environment=request.environment, filter=scope, actor=request.user.actor,
            origin=Origin.BROWSER, reason=asked["reason"], undo_for=UNDO_FOR,
        )
    )  # fmt: skip
    after = _page(request, run.uid)
    said = _said(after, cancellation)
    if not request.htmx:
        messages.info(request, said)
        return http.to_page(request, reverse("logs:run", args=[run.uid]))
    context = _panel(request, after) | {
        "said": said,
        "on_run_page": request.POST.get("on") == "run",
        "undo": cancellation if cancellation.cancelled else None,
    }
    response = http.part(request, "logs/_cancelled.html", context)
    response["HX-Trigger"] = "cancelled"
    return response


def _said(page: RunPage, cancellation: Cancellation) -> str:
    """What the person who pressed the button is told."""
    ours = page.cancelled is not None and page.cancelled.pk == cancellation.pk
    if not ours:
        return words.too_late(page.run, page.in_flight)
    if (cancellation.cancelled or 0) > 1:
        return words.cancelled_many(cancellation)
    return words.cancelled_now(page.run, page.in_flight)


def _exists(request: PageRequest, uid: UUID) -> bool:
    return Run.objects.within(request.environment).filter(uid=uid).exists()


def _page(request: PageRequest, uid: UUID) -> RunPage:
    page = RunPage.read(uid=uid, environment=request.environment, now=timezone.now())
    if page is None:
        raise Http404("there is no such run in this environment")
    return page


def _panel(request: PageRequest, page: RunPage) -> dict[str, Any]:
    address = reverse("logs:run", args=[page.run.uid])
    return {
        "page": page,
        "run": page.run,
        "may_cancel": request.user.can("cancel"),
        "may_invoke": request.user.can("invoke"),
        "poll": f"{address}?tag={page.tag}" if page.may_change else "",
        "poll_every": POLL_RUN,
    }
