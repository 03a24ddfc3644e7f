"""Cuts long lists into pages, each beginning after the last row of the one before, and searches at their address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django_htmx.http import replace_url

from automations.middleware import PageRequest

SIZE = 50


@dataclass(frozen=True, kw_only=True)
class Page:
    """The rows of one page, and the query strings of its neighbours: `older` is empty on the last page, `newest` on
    the first."""

    rows: list[Any]
    older: str
    newest: str


def cut(
    rows: QuerySet[Any], request: PageRequest, *, size: int = SIZE, query: Mapping[str, str] | None = None
) -> Page:
    """The page that the address asks for by `before`, newest first; `query` is what its neighbours keep. Http404 for
    a `before` that is no row's."""
    before = request.GET.get("before", "")
    if before:
        try:
            rows = rows.filter(pk__lt=rows.model._meta.pk.to_python(before))
        except (ValidationError, OverflowError):
            raise Http404("there is no such page") from None
    found = list(rows.order_by("-pk")[: size + 1])
    kept = {name: value for name, value in (query or {}).items() if value}
    older = urlencode({**kept, "before": found[size - 1].pk}) if len(found) > size else ""
    return Page(
        rows=found[:size], older=f"?{older}" if older else "", newest=f"?{urlencode(kept)}" if before else ""
    )


def at_its_address(request: PageRequest, response: HttpResponse, **query: str) -> HttpResponse:
    """The answer to a search; htmx then shows the address of that search, without what is empty."""
    if not request.htmx:
        return response
    kept = urlencode({name: value for name, value in query.items() if value})
    return replace_url(response, f"{request.path}?{kept}" if kept else request.path)
