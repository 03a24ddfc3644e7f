"""Lists automation templates as Courier does, under two addresses: a template here is an automation and a journey."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations.api import paging
from automations.api.courier.endpoint import CourierEndpoint, checked
from automations.api.description import described
from automations.api.moments import stamp
from automations.api.reading import Query
from automations.api.schemas import one_of, text
from automations.models import Automation, Environment, No, Refusal

LISTED = 50
PUBLISHED, DRAFT = "published", "draft"


class Templates(CourierEndpoint):
    """`GET /automations`; `GET /journeys` is the same list."""

    get_scope = "read"

    @described(
        "list_templates",
        {200: "Templates"},
        query={"cursor": text(100), "version": one_of(PUBLISHED, DRAFT)},
    )
    def get(self, request: Request) -> Response:
        """The published templates, or with `version=draft` the drafts; without `cursor` on the last page."""
        query = Query(request.query_params)
        page = paging.Page(limit=LISTED, after=paging.cursor(query))
        version = query.text("version") or PUBLISHED
        if version not in (PUBLISHED, DRAFT):
            query.refuse("version", "invalid", "“version” is “published” or “draft”")
        query.finish(strict=False)
        rows = Automation.objects.within(self.environment).filter(archived_at=None).defer("draft")
        if version == PUBLISHED:
            rows = rows.exclude(published=None)
        if page.before is not None:
            rows = rows.filter(pk__lt=page.before)
        shown, cursor = page.cut(rows.order_by("-pk")[: page.fetch], lambda row: row.pk)
        answer: dict[str, Any] = {"templates": [_listed(row, version) for row in shown]}
        if cursor is not None:
            answer["cursor"] = cursor
        return Response(answer)


def find(environment: Environment, template_id: str) -> Automation:
    """The environment's template of that id or alias, with its published version; archived, it is not there."""
    rows = Automation.objects.within(environment).filter(archived_at=None).select_related("published")
    automation = rows.named(checked(template_id)).first()
    if automation is None:
        raise Refusal(No.NOT_FOUND, "automation_not_found", "there is no such automation")
    return automation


def _listed(row: Automation, version: str) -> dict[str, Any]:
    return {
        "id": row.key,
        "name": row.name,
        "version": version,
        "createdAt": stamp(row.created_at),
        "updatedAt": stamp(row.updated_at),
    }
