"""Automations over the native API: drafted, published, disabled and enabled; their versions read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from automations import publication
from automations.api import paging
from automations.api.endpoint import Endpoint
from automations.api.moments import stamp
from automations.api.reading import Body, Query
from automations.models import Automation, No, Refusal, Version

HIGHEST_REVISION = 2**31 - 1


class Automations(Endpoint):
    """`/api/v1/automations`."""

    get_scope = "read"
    post_scope = "write"

    def get(self, request: Request) -> Response:
        """The environment's automations, without their definitions."""
        query = Query(request.query_params)
        page = paging.asked(query)
        query.finish()
        rows = Automation.objects.within(self.environment).select_related("published").order_by("-pk")
        if page.after is not None:
            rows = rows.filter(pk__lt=int(page.after))
        rows = rows.defer("draft", "published__definition")[: page.fetch]
        shown, cursor = page.cut(rows, lambda row: row.pk)
        return Response({"items": [_summary(row) for row in shown], "next_cursor": cursor})

    def post(self, request: Request) -> Response:
        """Stores a draft under a new key."""
        body = Body(self.body())
        key = body.label("key", longest=100, required=True)
        name = body.label("name", longest=200, required=True)
        alias = body.label("alias", longest=255)
        description = body.text("description", longest=2000)
        definition = body.document("definition", required=True)
        body.finish()
        automation = publication.create(
            environment=self.environment, key=key or "", name=name or "", alias=alias,
            description=description or "", definition=definition, by=self.actor,
        )  # fmt: skip
        return Response(_whole(automation), status=201)


class OneAutomation(Endpoint):
    """`/api/v1/automations/{key}`."""

    get_scope = "read"

    def get(self, request: Request, key: str) -> Response:
        """The automation with its draft."""
        return Response(_whole(publication.find(environment=self.environment, key=key)))


class Draft(Endpoint):
    """`/api/v1/automations/{key}/draft`."""

    put_scope = "write"

    def put(self, request: Request, key: str) -> Response:
        """Replaces the draft; 412 when `revision` is given and somebody saved in between."""
        body = Body(self.body())
        definition = body.document("definition", required=True)
        revision = None
        if "revision" in body.value:
            revision = body.number("revision", 0, least=0, most=HIGHEST_REVISION)
        body.finish()
        automation = publication.save_draft(
            environment=self.environment, key=key, definition=definition, by=self.actor, revision=revision
        )
        return Response(_whole(automation))


class Publish(Endpoint):
    """`/api/v1/automations/{key}/publish`."""

    post_scope = "write"

    def post(self, request: Request, key: str) -> Response:
        """Makes the draft the version that new runs follow."""
        body = Body(self.body(optional=True))
        note = body.text("note", longest=500)
        body.finish()
        version = publication.publish(environment=self.environment, key=key, by=self.actor, note=note or "")
        return Response({"version": version.number})


class Versions(Endpoint):
    """`/api/v1/automations/{key}/versions`."""

    get_scope = "read"

    def get(self, request: Request, key: str) -> Response:
        """What was published, without the definitions."""
        query = Query(request.query_params)
        page = paging.asked(query)
        query.finish()
        automation = publication.find(environment=self.environment, key=key)
        after = Q() if page.after is None else Q(number__lt=int(page.after))
        rows = automation.versions.filter(after).order_by("-number").defer("definition")[: page.fetch]
        shown, cursor = page.cut(rows, lambda row: row.number)
        return Response({"items": [_version(row) for row in shown], "next_cursor": cursor})


class OneVersion(Endpoint):
    """`/api/v1/automations/{key}/versions/{n}`."""

    get_scope = "read"

    def get(self, request: Request, key: str, number: str) -> Response:
        """The version with its definition."""
        automation = publication.find(environment=self.environment, key=key)
        version = automation.versions.filter(number=int(number)).first()
        if version is None:
            raise Refusal(No.NOT_FOUND, "version_not_found", f"“{key}” has no version {number}")
        return Response({**_version(version), "definition": version.definition})


class Disable(Endpoint):
    """`/api/v1/automations/{key}/disable`."""

    post_scope = "write"

    def post(self, request: Request, key: str) -> Response:
        """Refuses new invokes from now on; runs under way go on (`drain`)."""
        body = Body(self.body(optional=True))
        mode = body.choice("mode", ("drain", "hold", "cancel"), "drain")
        if mode != "drain":
            body.refuse("mode", "not_supported", f"mode “{mode}” is not supported yet")
        body.finish()
        automation = publication.set_disabled(
            environment=self.environment, key=key, disabled=True, by=self.actor
        )
        return Response(_whole(automation))


class Enable(Endpoint):
    """`/api/v1/automations/{key}/enable`."""

    post_scope = "write"

    def post(self, request: Request, key: str) -> Response:
        """Accepts invokes again."""
        Body(self.body(optional=True)).finish()
        automation = publication.set_disabled(
            environment=self.environment, key=key, disabled=False, by=self.actor
        )
        return Response(_whole(automation))


def _summary(automation: Automation) -> dict[str, Any]:
    published = automation.published
    return {
        "key": automation.key,
        "alias": automation.alias,
        "name": automation.name,
        "description": automation.description,
        "status": automation.status,
        "disabled": automation.disabled_at is not None,
        "published_version": published.number if published else None,
        "created_at": stamp(automation.created_at),
        "updated_at": stamp(automation.updated_at),
        "updated_by": automation.updated_by,
    }


def _whole(automation: Automation) -> Mapping[str, Any]:
    draft = {"definition": automation.draft, "revision": automation.draft_revision}
    return {**_summary(automation), "draft": draft}


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "note": version.note,
        "published_at": stamp(version.published_at),
        "published_by": version.published_by,
    }
