"""Lists of recipients over the native API, for steps that send to all of a list."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations.api import paging
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.moments import stamp
from automations.api.reading import Body, Query
from automations.api.schemas import listed, request_of, text
from automations.directory import lists
from automations.models import LONGEST_RECIPIENT, MOST_MEMBERS, RecipientList


class Lists(Endpoint):
    """`/api/v1/lists`."""

    get_scope = "read"

    @described("list_lists", {200: paging.page_of("ListSummary")}, query=paging.PAGED)
    def get(self, request: Request) -> Response:
        """The environment's lists, without their members."""
        query = Query(request.query_params)
        page = paging.asked(query)
        query.finish()
        rows = RecipientList.objects.filter(environment=self.environment).order_by("-pk")
        if page.before is not None:
            rows = rows.filter(pk__lt=page.before)
        shown, cursor = page.cut(rows[: page.fetch], lambda row: row.pk)
        return Response({"items": [_summary(row) for row in shown], "next_cursor": cursor})


class OneList(Endpoint):
    """`/api/v1/lists/{key}`."""

    http_method_names = ("get", "put", "patch", "delete", "head")
    get_scope = "read"
    put_scope = "write"
    patch_scope = "write"
    delete_scope = "write"

    @described("get_list", {200: "List"})
    def get(self, request: Request, key: str) -> Response:
        """The list with its members, in their order."""
        return Response(_whole(lists.find(environment=self.environment, key=key)))

    @described(
        "replace_list",
        {200: "List", 201: "List"},
        body=request_of({"members": listed(text(LONGEST_RECIPIENT), MOST_MEMBERS)}, {"name": text(200)}),
    )
    def put(self, request: Request, key: str) -> Response:
        """The list with these members and no others."""
        body = Body(self.body())
        name = body.label("name", longest=200)
        members = body.labels("members", most=MOST_MEMBERS, longest=LONGEST_RECIPIENT)
        if "members" not in body.value:
            body.refuse("members", "required", "“members” is required")
        body.finish()
        row, is_new = lists.replace(
            environment=self.environment, key=key, members=members, name=name or "", by=self.actor
        )
        return Response(_whole(row), status=201 if is_new else 200)

    @described(
        "change_list",
        {200: "List"},
        body=request_of(
            maybe={
                "name": text(200),
                "add": listed(text(LONGEST_RECIPIENT), MOST_MEMBERS),
                "remove": listed(text(LONGEST_RECIPIENT), MOST_MEMBERS),
            }
        ),
    )
    def patch(self, request: Request, key: str) -> Response:
        """Adds the members in `add` and takes those in `remove` out; a recipient in both is a member."""
        body = Body(self.body())
        name = body.label("name", longest=200)
        add = body.labels("add", most=MOST_MEMBERS, longest=LONGEST_RECIPIENT)
        drop = body.labels("remove", most=MOST_MEMBERS, longest=LONGEST_RECIPIENT)
        body.finish()
        row = lists.change(
            environment=self.environment, key=key, add=add, drop=drop, name=name, by=self.actor
        )
        return Response(_whole(row))

    @described("remove_list", {204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Forgets the list, not its members."""
        lists.remove(environment=self.environment, key=key, by=self.actor)
        return Response(status=204)


def _summary(row: RecipientList) -> dict[str, Any]:
    return {
        "key": row.key,
        "name": row.name or None,
        "member_count": len(row.members),
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
    }


def _whole(row: RecipientList) -> dict[str, Any]:
    return {**_summary(row), "members": row.members}
