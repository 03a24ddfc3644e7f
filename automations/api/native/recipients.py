"""Recipients over the native API: what is known of each, replaced, merged and forgotten."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations.api import paging
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.moments import stamp
from automations.api.reading import Body, Query, is_one_line
from automations.api.schemas import OBJECT, request_of, text
from automations.directory import recipients
from automations.models import LONGEST_RECIPIENT, No, Recipient, Refusal


class Recipients(Endpoint):
    """`/api/v1/recipients`."""

    get_scope = "read"

    @described(
        "list_recipients",
        {200: paging.page_of("Recipient")},
        query={
            **paging.PAGED,
            "id": {**text(LONGEST_RECIPIENT), "description": "The id, or what it begins with."},
        },
    )
    def get(self, request: Request) -> Response:
        """The environment's recipients; those whose id begins with `id`."""
        query = Query(request.query_params)
        page = paging.asked(query)
        prefix = query.text("id", longest=LONGEST_RECIPIENT)
        query.finish()
        rows = Recipient.objects.filter(environment=self.environment).order_by("-pk")
        if prefix is not None:
            rows = rows.filter(key__has_prefix=prefix)
        if page.before is not None:
            rows = rows.filter(pk__lt=page.before)
        shown, cursor = page.cut(rows[: page.fetch], lambda row: row.pk)
        return Response({"items": [_shown(row) for row in shown], "next_cursor": cursor})


class OneRecipient(Endpoint):
    """`/api/v1/recipients/{id}`."""

    http_method_names = ("get", "put", "patch", "delete", "head")
    get_scope = "read"
    put_scope = "write"
    patch_scope = "write"
    delete_scope = "write"

    @described("get_recipient", {200: "Recipient"})
    def get(self, request: Request, recipient: str) -> Response:
        """What is known of the recipient."""
        return Response(_shown(recipients.find(environment=self.environment, key=_checked(recipient))))

    @described(
        "replace_recipient", {200: "Recipient", 201: "Recipient"}, body=request_of({"profile": OBJECT})
    )
    def put(self, request: Request, recipient: str) -> Response:
        """Replaces the whole profile."""
        row, is_new = recipients.replace(
            environment=self.environment, key=_checked(recipient), profile=self._profile()
        )
        return Response(_shown(row), status=201 if is_new else 200)

    @described("merge_recipient", {200: "Recipient"}, body=request_of({"profile": OBJECT}))
    def patch(self, request: Request, recipient: str) -> Response:
        """Lays the given members over the profile; a null takes its member away."""
        row = recipients.merge(
            environment=self.environment, key=_checked(recipient), said=self._profile(nulls=True)
        )
        return Response(_shown(row))

    @described("remove_recipient", {204: None})
    def delete(self, request: Request, recipient: str) -> Response:
        """Forgets the recipient; runs keep the profile they started with."""
        recipients.remove(environment=self.environment, key=_checked(recipient))
        return Response(status=204)

    def _profile(self, *, nulls: bool = False) -> dict[str, Any]:
        body = Body(self.body())
        profile = body.document("profile", required=True)
        body.finish()
        return profile if nulls else {name: value for name, value in profile.items() if value is not None}


def _checked(recipient: str) -> str:
    """The id from the address, if it can be one."""
    if len(recipient) > LONGEST_RECIPIENT or not recipient.strip() or not is_one_line(recipient):
        raise Refusal(No.NOT_FOUND, "recipient_not_found", "there is no recipient with such an id")
    return recipient


def _shown(row: Recipient) -> dict[str, Any]:
    return {
        "id": row.key,
        "profile": row.profile,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
    }
