"""Journeys as Courier's API keeps them: created, read, replaced, published, rolled back, archived."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from rest_framework.request import Request
from rest_framework.response import Response

from automations import publication
from automations.api import paging
from automations.api.courier.endpoint import CourierEndpoint, respelt
from automations.api.courier.nodes import MOST_NODES, definition_of, in_nodes, nodes_of
from automations.api.courier.templates import LISTED, Templates, find
from automations.api.description import described
from automations.api.reading import Body, Query
from automations.api.schemas import request_of, text
from automations.models import Automation, No, Refusal, Version, new_uid

DRAFT, PUBLISHED = "DRAFT", "PUBLISHED"
_VERSION = re.compile(r"v?(\d{1,9})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a request wants a journey to be; `enabled` is None where it does not say."""

    name: str
    definition: dict[str, Any]
    published: bool
    enabled: bool | None


class Journeys(Templates):
    """`/journeys`."""

    post_scope = "write"

    @described("create_journey", {201: "Journey"}, body="NewJourney", repeatable=True)
    def post(self, request: Request) -> Response:
        """A new journey under an id made here. A repeated request, by its Idempotency-Key, gives the first one's."""
        raw = self.body()
        wanted = _wanted(raw, kept={})
        repeatable = self.repeatable(address="journeys", body=raw)
        key = str(new_uid())
        if repeatable:  # then the id says which request it was, and needs no table of its own
            key = str(uuid5(NAMESPACE_URL, f"{self.environment.key}/{repeatable['idempotency_key']}"))
        automation = self._known(key, wanted) if repeatable else None
        if automation is None:
            automation = self._created(key, wanted, repeatable=bool(repeatable))
            return Response(_settled(self, automation, wanted), status=201)
        if (
            automation.draft_revision == 1 and automation.published is None
        ):  # as far as the first may have got
            shown = _settled(self, automation, wanted)
        else:
            shown = _shown(automation, automation.published if wanted.published else None)
        return Response(shown, status=201, headers={"Idempotent-Replayed": "true"})

    def _created(self, key: str, wanted: Wanted, *, repeatable: bool) -> Automation:
        """Stored, or what the same request has stored at this moment."""
        try:
            return publication.create(
                environment=self.environment, key=key, name=wanted.name, definition=wanted.definition, by=self.actor
            )  # fmt: skip
        except Refusal as refusal:
            if repeatable and (automation := self._known(key, wanted)) is not None:
                return automation
            raise respelt(refusal, at="/nodes") from refusal

    def _known(self, key: str, wanted: Wanted) -> Automation | None:
        """What the key's first request made. Refusal where that was another one, as far as it can still be told."""
        rows = Automation.objects.within(self.environment).select_related("published")
        automation = rows.filter(key=key).first()
        if automation is None:
            return None
        told = (automation.name, automation.draft) == (wanted.name, wanted.definition)
        if automation.draft_revision == 1 and not told:
            message = "this Idempotency-Key came with another request before"
            raise Refusal(No.INVALID, "idempotency_key_reused", message)
        return automation


class OneJourney(CourierEndpoint):
    """`/journeys/{template_id}`."""

    http_method_names = ("get", "put", "delete", "head")
    get_scope = "read"
    put_scope = "write"
    delete_scope = "write"

    @described("get_journey", {200: "Journey"}, query={"version": text(100)})
    def get(self, request: Request, template_id: str) -> Response:
        """The published version, `version=draft` or `version=v3`; without the parameter what there is."""
        query = Query(request.query_params)
        version = query.text("version")
        query.finish(strict=False)
        automation = find(self.environment, template_id)
        if version == "draft" or (version is None and automation.published is None):
            return Response(_shown(automation, None))
        if version in (None, "published"):
            if automation.published is None:
                raise _no_version("published")
            return Response(_shown(automation, automation.published))
        return Response(_shown(automation, _version(automation, version)))

    @described("replace_journey", {200: "Journey"}, body="NewJourney")
    def put(self, request: Request, template_id: str) -> Response:
        """Replaces the draft; what is published stays so, unless the state says otherwise."""
        raw = self.body()
        automation = find(self.environment, template_id)
        wanted = _wanted(raw, kept=automation.draft)
        try:
            automation = publication.save_draft(
                environment=self.environment, key=automation.key, definition=wanted.definition, by=self.actor,
                settings={"name": wanted.name},
            )  # fmt: skip
        except Refusal as refusal:
            raise respelt(refusal, at="/nodes") from refusal
        return Response(_settled(self, automation, wanted))

    @described("archive_journey", {204: None})
    def delete(self, request: Request, template_id: str) -> Response:
        """Archives the journey. Runs under way go on."""
        automation = find(self.environment, template_id)
        publication.archive(environment=self.environment, key=automation.key, by=self.actor)
        return Response(status=204)


class PublishJourney(CourierEndpoint):
    """`POST /journeys/{template_id}/publish`."""

    post_scope = "write"

    @described(
        "publish_journey",
        {200: "Journey"},
        body=request_of(maybe={"version": text(20)}, strict=False),
        optional=True,
        repeatable=True,
    )
    def post(self, request: Request, template_id: str) -> Response:
        """The draft, or an earlier `version`, is what new runs follow. Repeating it changes nothing more."""
        raw = self.body(optional=True)
        body = Body(raw, strict=False)
        version = body.label("version", longest=20)
        body.finish()
        # A malformed key is refused; a sound one has nothing to add to what repeats harmlessly by itself.
        self.repeatable(address="publish", body=raw)
        automation = find(self.environment, template_id)
        number = None if version is None else _version(automation, version).number
        try:
            publication.publish(environment=self.environment, key=automation.key, by=self.actor, again=number)
        except Refusal as refusal:
            raise in_nodes(refusal) from refusal
        automation = find(self.environment, automation.key)
        return Response(_shown(automation, automation.published))


class JourneyVersions(CourierEndpoint):
    """`GET /journeys/{template_id}/versions`."""

    get_scope = "read"

    @described("list_versions", {200: "Versions"}, query={"cursor": text(100)})
    def get(self, request: Request, template_id: str) -> Response:
        """What was published, newest first."""
        query = Query(request.query_params)
        page = paging.Page(limit=LISTED, after=paging.cursor(query, pattern=r"\d{1,9}"))
        query.finish(strict=False)
        automation = find(self.environment, template_id)
        rows = automation.versions.order_by("-number").defer("definition")
        if page.before is not None:
            rows = rows.filter(number__lt=page.before)
        shown, cursor = page.cut(rows[: page.fetch], lambda row: row.number)
        listed = [
            {
                "version": f"v{row.number}",
                "name": automation.name,
                "published": _epoch(row.published_at),
                "creator": row.published_by,
            }
            for row in shown
        ]
        paging_of = {"more": cursor is not None} | ({} if cursor is None else {"cursor": cursor})
        return Response({"paging": paging_of, "results": listed})


def _wanted(raw: Mapping[str, Any], *, kept: Mapping[str, Any]) -> Wanted:
    """What the body asks for, over the definition that is `kept`; a token that is not given stays."""
    body = Body(raw, strict=False)
    name = body.label("name", longest=200, required=True)
    nodes = body.entries("nodes", most=MOST_NODES)
    if "nodes" not in body.value:
        body.refuse("nodes", "required", "“nodes” must be a list of nodes")
    token = body.expression("cancelation_token")
    state = body.choice("state", (DRAFT, PUBLISHED), DRAFT)
    enabled = body.flag("enabled") if "enabled" in body.value else None
    body.finish()
    rest = {name: value for name, value in kept.items() if name != "cancelation_token"}
    if (given := token or kept.get("cancelation_token")) is not None:
        rest["cancellation_token"] = given
    definition = definition_of(nodes, kept=rest, runnable=state == PUBLISHED)
    return Wanted(name=name or "", definition=definition, published=state == PUBLISHED, enabled=enabled)


def _settled(endpoint: CourierEndpoint, automation: Automation, wanted: Wanted) -> dict[str, Any]:
    """Enables and publishes as wanted; the journey as it is then."""
    place: dict[str, Any] = {"environment": endpoint.environment, "key": automation.key, "by": endpoint.actor}
    if wanted.enabled is not None and wanted.enabled is not (automation.disabled_at is None):
        (publication.enable if wanted.enabled else publication.disable)(**place)
    if wanted.published:
        publication.publish(**place)
    automation = publication.find(environment=endpoint.environment, key=automation.key)
    return _shown(automation, automation.published if wanted.published else None)


def _version(automation: Automation, name: str) -> Version:
    """The version that `v3` names."""
    found = _VERSION.fullmatch(name)
    version = automation.versions.filter(number=int(found[1])).first() if found else None
    if version is None:
        raise _no_version(name)
    return version


def _no_version(name: str) -> Refusal:
    return Refusal(No.NOT_FOUND, "version_not_found", f"the journey has no version “{name[:20]}”")


def _shown(automation: Automation, version: Version | None) -> dict[str, Any]:
    """The journey as that version says, or as the draft does."""
    definition = automation.draft if version is None else version.definition
    published = automation.published if version is None else version
    return {
        "id": automation.key,
        "name": automation.name,
        "state": DRAFT if version is None else PUBLISHED,
        "enabled": automation.disabled_at is None,
        "cancelation_token": definition.get("cancellation_token") or definition.get("cancelation_token"),
        "nodes": nodes_of(definition),
        "created": _epoch(automation.created_at),
        "creator": None,
        "updated": _epoch(automation.updated_at),
        "updater": automation.updated_by or None,
        "published": None if published is None else _epoch(published.published_at),
    }


def _epoch(moment: datetime) -> int:
    """Milliseconds, as Courier counts in what it calls `created`, `updated` and `published`."""
    return int(moment.timestamp() * 1000)
