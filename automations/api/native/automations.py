"""Automations over the native API: drafted, published, disabled and enabled; their versions read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from automations import publication
from automations.api import paging
from automations.api.authentication import demand_scope
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.errors import request_id
from automations.api.moments import stamp
from automations.api.native.receipts import in_flight, receipt
from automations.api.reading import Body, Query
from automations.api.schemas import FLAG, OBJECT, either, one_of, prose, ref, remark, request_of, text, whole
from automations.cancellation import LONGEST_REASON, outstanding
from automations.models import (
    KEY_PATTERN,
    Automation,
    Cancellation,
    DisableMode,
    No,
    Overdue,
    Refusal,
    Version,
)

HIGHEST_REVISION = 2**31 - 1
KEY = KEY_PATTERN.removeprefix("^").removesuffix(r"\Z")


class Automations(Endpoint):
    """`/api/v1/automations`."""

    get_scope = "read"
    post_scope = "write"

    @described("list_automations", {200: paging.page_of("AutomationSummary")}, query=paging.PAGED)
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

    @described(
        "create_automation",
        {201: "Automation"},
        body=request_of(
            {"key": text(100, pattern=KEY), "name": text(200), "definition": OBJECT},
            {"alias": text(255), "description": remark(2000)},
        ),
    )
    def post(self, request: Request) -> Response:
        """Stores a draft under a new key."""
        body = Body(self.body())
        key = body.label("key", longest=100, required=True)
        name = body.label("name", longest=200, required=True)
        alias = body.label("alias", longest=255)
        description = body.remark("description", longest=2000)
        definition = body.document("definition", required=True)
        body.finish()
        automation = publication.create(
            environment=self.environment, key=key or "", name=name or "", alias=alias,
            description=description, definition=definition, by=self.actor,
        )  # fmt: skip
        return Response(_whole(automation), status=201)


class OneAutomation(Endpoint):
    """`/api/v1/automations/{key}`."""

    get_scope = "read"

    @described("get_automation", {200: "Automation"})
    def get(self, request: Request, key: str) -> Response:
        """The automation with its draft."""
        return Response(_whole(publication.find(environment=self.environment, key=key)))


class Draft(Endpoint):
    """`/api/v1/automations/{key}/draft`."""

    put_scope = "write"

    @described(
        "save_draft",
        {200: "Automation"},
        body=request_of({"definition": OBJECT}, {"revision": whole(0, HIGHEST_REVISION)}),
        refuses=(412,),
    )
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

    @described(
        "publish_automation",
        {200: either(ref("Published"), ref("PublishRehearsed"))},
        body=request_of(maybe={"note": remark(500), "running": one_of("keep", "cancel"), "dry_run": FLAG}),
        optional=True,
    )
    def post(self, request: Request, key: str) -> Response:
        """Makes the draft the version that new runs follow; runs of earlier versions keep theirs, or are called
        off."""
        body = Body(self.body(optional=True))
        note = body.remark("note", longest=500)
        running = body.choice("running", ("keep", "cancel"), "keep")
        is_rehearsal = body.flag("dry_run")
        body.finish()
        if is_rehearsal:
            automation = publication.find(environment=self.environment, key=key)
            return Response({"version": publication.would_publish(automation), **_impact(automation)})
        given: dict[str, Any] = {
            "environment": self.environment, "key": key, "by": self.actor, "note": note,
        }  # fmt: skip
        if running == "keep":
            return Response({"version": publication.publish(**given).number})
        demand_scope(self.key, "cancel")
        version, cancelled = publication.publish_and_cancel(**given, request_id=request_id(request))
        return Response({"version": version.number, "cancellation": _receipt(cancelled)})


class Versions(Endpoint):
    """`/api/v1/automations/{key}/versions`."""

    get_scope = "read"

    @described("list_versions", {200: paging.page_of("Version")}, query=paging.PAGED)
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

    @described("get_version", {200: "VersionWithDefinition"})
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

    @described(
        "disable_automation",
        {200: either(ref("Disabled"), ref("Impact"))},
        body=request_of(
            maybe={"mode": one_of(*DisableMode.values), "reason": prose(LONGEST_REASON), "dry_run": FLAG}
        ),
        optional=True,
    )
    def post(self, request: Request, key: str) -> Response:
        """Refuses new invokes from now on; runs under way go on (`drain`), wait until it is enabled (`hold`), or
        are called off (`cancel`)."""
        body = Body(self.body(optional=True))
        mode = body.choice("mode", tuple(DisableMode.values), DisableMode.DRAIN)
        reason = body.text("reason", longest=LONGEST_REASON)
        is_rehearsal = body.flag("dry_run")
        body.finish()
        if is_rehearsal:
            return Response(_impact(publication.find(environment=self.environment, key=key)))
        if mode == DisableMode.CANCEL:
            demand_scope(self.key, "cancel")
        done = publication.disable(
            environment=self.environment, key=key, by=self.actor, mode=mode, reason=reason or "",
            request_id=request_id(request),
        )  # fmt: skip
        answer = dict(_whole(done.automation))
        if done.cancellation is not None:
            answer["cancellation"] = _receipt(done.cancellation)
        if mode == DisableMode.HOLD:
            answer["in_flight"] = in_flight(done.in_flight)
        return Response(answer)


class Enable(Endpoint):
    """`/api/v1/automations/{key}/enable`."""

    post_scope = "write"

    @described(
        "enable_automation",
        {200: either(ref("Automation"), ref("Impact"))},
        body=request_of(maybe={"overdue": one_of(*Overdue.values), "dry_run": FLAG}),
        optional=True,
    )
    def post(self, request: Request, key: str) -> Response:
        """Accepts invokes again, and lets runs go on that were held: those whose time has passed at once, later by
        the time they were held, or without the step that was due."""
        body = Body(self.body(optional=True))
        overdue = body.choice("overdue", tuple(Overdue.values), Overdue.FIRE_NOW)
        is_rehearsal = body.flag("dry_run")
        body.finish()
        if is_rehearsal:
            return Response(_impact(publication.find(environment=self.environment, key=key)))
        return Response(
            _whole(publication.enable(environment=self.environment, key=key, by=self.actor, overdue=overdue))
        )


def _impact(automation: Automation) -> dict[str, Any]:
    """Whom it concerns: unfinished runs, of ten thousand of a kind at most."""
    found = publication.impact(automation)
    by_version = [{"version": number, "unfinished": count} for number, count in found.by_version]
    return {
        "dry_run": True, "waiting": found.waiting, "running": found.running, "overdue": found.overdue,
        "by_version": by_version, "beneath": found.beneath,
        "counted": found.counted and found.beneath_counted,
    }  # fmt: skip


def _receipt(cancellation: Cancellation | None) -> dict[str, Any] | None:
    if cancellation is None:
        return None
    return receipt(cancellation, settled=not outstanding(cancellation))


def _summary(automation: Automation) -> dict[str, Any]:
    published = automation.published
    return {
        "key": automation.key,
        "alias": automation.alias,
        "name": automation.name,
        "description": automation.description,
        "status": automation.status,
        "disabled": automation.disabled_at is not None,
        "disable_mode": automation.mode,
        "disable_reason": automation.disabled_reason or None,
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
