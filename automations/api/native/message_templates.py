"""Message templates over the native API: what sends say, kept apart from who sends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from automations.api import paging
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.moments import stamp
from automations.api.reading import Body, Query
from automations.api.schemas import OBJECT, Schema, one_of, prose, request_of, text
from automations.definition import CHANNEL_NAMES
from automations.directory import templates
from automations.models import MESSAGE_KEY, MessageTemplate

LONGEST_TITLE = 2_000
LONGEST_BODY = 64 * 1024
WORDING: Mapping[str, Schema] = {"title": prose(LONGEST_TITLE), "body": prose(LONGEST_BODY)}
SAID: Mapping[str, Schema] = {
    "name": text(200),
    **WORDING,
    "channels": request_of(maybe=dict.fromkeys(sorted(CHANNEL_NAMES), request_of(maybe=WORDING))),
}


class MessageTemplates(Endpoint):
    """`/api/v1/message-templates`."""

    get_scope = "read"
    post_scope = "write"

    @described("list_message_templates", {200: paging.page_of("MessageTemplateSummary")}, query=paging.PAGED)
    def get(self, request: Request) -> Response:
        """The environment's message templates, without what they say."""
        query = Query(request.query_params)
        page = paging.asked(query)
        query.finish()
        rows = MessageTemplate.objects.filter(environment=self.environment).order_by("-pk")
        if page.before is not None:
            rows = rows.filter(pk__lt=page.before)
        rows = rows.defer("title", "body", "channels")[: page.fetch]
        shown, cursor = page.cut(rows, lambda row: row.pk)
        return Response({"items": [_summary(row) for row in shown], "next_cursor": cursor})

    @described(
        "create_message_template",
        {201: "MessageTemplate"},
        body=request_of({"key": text(100, pattern=MESSAGE_KEY)}, SAID),
    )
    def post(self, request: Request) -> Response:
        """Stores a message template under a new key."""
        body = Body(self.body())
        key = body.matching("key", MESSAGE_KEY)
        said = _said(body)
        row = templates.create(environment=self.environment, key=key or "", by=self.actor, said=said)
        return Response(_whole(row), status=201)


class OneMessageTemplate(Endpoint):
    """`/api/v1/message-templates/{key}`."""

    http_method_names = ("get", "put", "delete", "head")
    get_scope = "read"
    put_scope = "write"
    delete_scope = "write"

    @described("get_message_template", {200: "MessageTemplate"})
    def get(self, request: Request, key: str) -> Response:
        """The message template."""
        return Response(_whole(templates.find(environment=self.environment, key=key)))

    @described("replace_message_template", {200: "MessageTemplate"}, body=request_of(maybe=SAID))
    def put(self, request: Request, key: str) -> Response:
        """Replaces what it says: steps performed from now on send that."""
        said = _said(Body(self.body()))
        return Response(
            _whole(templates.replace(environment=self.environment, key=key, by=self.actor, said=said))
        )

    @described("remove_message_template", {204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Forgets it; a step that would send it fails."""
        templates.remove(environment=self.environment, key=key)
        return Response(status=204)


class PreviewMessageTemplate(Endpoint):
    """`/api/v1/message-templates/{key}/preview`."""

    post_scope = "read"

    @described(
        "preview_message_template",
        {200: "MessagePreview"},
        body=request_of(
            maybe={
                "data": OBJECT,
                "profile": OBJECT,
                "recipient": text(255),
                "channel": one_of(*sorted(CHANNEL_NAMES)),
            }
        ),
    )
    def post(self, request: Request, key: str) -> Response:
        """What it says for these data and this profile, and what was missing for it."""
        body = Body(self.body())
        data, profile = body.document("data"), body.document("profile")
        recipient = body.label("recipient", longest=255)
        channel = body.choice("channel", tuple(sorted(CHANNEL_NAMES)), "console")
        body.finish()
        wording, warnings = templates.preview(
            templates.find(environment=self.environment, key=key), data=data, profile=profile,
            recipient=recipient, channel=channel, now=timezone.now(),
            owner=f"{self.environment.pk}/{self.actor}",
        )  # fmt: skip
        return Response({**wording._asdict(), "warnings": [warning.message for warning in warnings]})


def _said(body: Body) -> dict[str, Any]:
    """What a message template is made of, but for its key; the body is finished."""
    name = body.label("name", longest=200)
    title, text = _wording(body)
    channels: dict[str, Any] = {}
    if (members := body.members("channels")) is not None:
        for channel in members.value:
            if channel not in CHANNEL_NAMES:
                members.refuse(channel, "invalid", f"a channel is one of: {', '.join(sorted(CHANNEL_NAMES))}")
            elif (own := members.members(channel)) is not None:
                said = dict(zip(("title", "body"), _wording(own), strict=True))
                channels[channel] = {part: words for part, words in said.items() if words is not None}
                own.close()
            members.read.add(channel)
        members.close()
    body.finish()
    return {"name": name or "", "title": title or "", "body": text or "", "channels": channels}


def _wording(body: Body) -> tuple[str | None, str | None]:
    title, text = body.text("title", longest=LONGEST_TITLE), body.text("body", longest=LONGEST_BODY)
    if "title" not in body.value and "body" not in body.value:
        body.refuse("body", "required", "give a “title” or a “body”")
    return title, text


def _summary(row: MessageTemplate) -> dict[str, Any]:
    return {
        "key": row.key,
        "name": row.name or None,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        "updated_by": row.updated_by,
    }


def _whole(row: MessageTemplate) -> dict[str, Any]:
    return {**_summary(row), "title": row.title, "body": row.body, "channels": row.channels}
