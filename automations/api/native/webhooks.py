"""Webhooks over the native API: who is told when runs end, with which secret, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from automations.api import paging
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.moments import stamp
from automations.api.reading import UUID_PATTERN, Body, Query
from automations.api.schemas import FLAG, Schema, listed, one_of, prose, request_of, text
from automations.models import RUN_EVENTS, WebhookDelivery, WebhookEndpoint
from automations.notices import endpoints

SETTINGS: Mapping[str, Schema] = {
    "url": text(endpoints.LONGEST_URL),
    "events": listed(one_of(*RUN_EVENTS), len(RUN_EVENTS), least=1),
    "description": prose(endpoints.LONGEST_DESCRIPTION),
}


class Webhooks(Endpoint):
    """`/api/v1/webhooks`."""

    get_scope = "admin"
    post_scope = "admin"

    @described("list_webhooks", {200: paging.page_of("Webhook")}, query=paging.PAGED)
    def get(self, request: Request) -> Response:
        """The environment's endpoints, without their secrets."""
        query = Query(request.query_params)
        page = paging.asked(query, pattern=UUID_PATTERN)
        query.finish()
        rows = WebhookEndpoint.objects.filter(environment=self.environment).order_by("-pk")
        if page.after is not None:
            rows = rows.filter(pk__lt=UUID(page.after))
        shown, cursor = page.cut(rows[: page.fetch], lambda row: row.pk)
        return Response({"items": [_shown(row) for row in shown], "next_cursor": cursor})

    @described(
        "create_webhook",
        {201: "WebhookWithSecret"},
        body=request_of(
            {"url": SETTINGS["url"], "events": SETTINGS["events"]}, {"description": SETTINGS["description"]}
        ),
    )
    def post(self, request: Request) -> Response:
        """Stores an endpoint; its secret is told this once. Every run that ends after the answer is told."""
        body = Body(self.body())
        settings = _settings(body, required=True)
        body.finish()
        endpoint, secret = endpoints.create(
            environment=self.environment, url=settings["url"], events=settings["events"],
            description=settings.get("description", ""), by=self.actor,
        )  # fmt: skip
        return Response({**_shown(endpoint), "secret": secret}, status=201)


class OneWebhook(Endpoint):
    """`/api/v1/webhooks/{id}`."""

    http_method_names = ("get", "patch", "delete", "head")
    get_scope = "admin"
    patch_scope = "admin"
    delete_scope = "admin"

    @described("get_webhook", {200: "Webhook"})
    def get(self, request: Request, uid: str) -> Response:
        """The endpoint, without its secrets."""
        return Response(_shown(endpoints.find(environment=self.environment, uid=UUID(uid))))

    @described("change_webhook", {200: "Webhook"}, body=request_of(maybe={**SETTINGS, "disabled": FLAG}))
    def patch(self, request: Request, uid: str) -> Response:
        """Changes what is given, and leaves the rest."""
        body = Body(self.body())
        changes = _settings(body, required=False)
        if "disabled" in body.value:
            changes["disabled"] = body.flag("disabled")
        body.finish()
        return Response(
            _shown(endpoints.change(environment=self.environment, uid=UUID(uid), changes=changes))
        )

    @described("remove_webhook", {204: None})
    def delete(self, request: Request, uid: str) -> Response:
        """Removes the endpoint and its deliveries."""
        endpoints.remove(environment=self.environment, uid=UUID(uid))
        return Response(status=204)


class RollWebhook(Endpoint):
    """`/api/v1/webhooks/{id}/roll`."""

    post_scope = "admin"

    @described("roll_webhook", {200: "WebhookWithSecret"}, body=request_of(), optional=True)
    def post(self, request: Request, uid: str) -> Response:
        """A new secret, told this once; the old one signs beside it for 24 hours."""
        Body(self.body(optional=True)).finish()
        endpoint, secret = endpoints.roll(environment=self.environment, uid=UUID(uid))
        return Response({**_shown(endpoint), "secret": secret})


class TestWebhook(Endpoint):
    """`/api/v1/webhooks/{id}/test`."""

    post_scope = "admin"

    @described("test_webhook", {201: "Delivery"}, body=request_of(), optional=True)
    def post(self, request: Request, uid: str) -> Response:
        """Has an event without meaning delivered; `deliveries` tells what came of it."""
        Body(self.body(optional=True)).finish()
        return Response(_delivery(endpoints.test(environment=self.environment, uid=UUID(uid))), status=201)


class WebhookDeliveries(Endpoint):
    """`/api/v1/webhooks/{id}/deliveries`."""

    get_scope = "admin"

    @described("list_deliveries", {200: paging.page_of("Delivery")}, query=paging.PAGED)
    def get(self, request: Request, uid: str) -> Response:
        """What the endpoint was told, or is to be told, with every attempt."""
        query = Query(request.query_params)
        page = paging.asked(query, pattern=UUID_PATTERN)
        query.finish()
        endpoint = endpoints.find(environment=self.environment, uid=UUID(uid))
        rows = endpoint.deliveries.select_related("run").only(*_DELIVERY).order_by("-pk")
        if page.after is not None:
            rows = rows.filter(pk__lt=UUID(page.after))
        shown, cursor = page.cut(rows[: page.fetch], lambda row: row.pk)
        return Response({"items": [_delivery(row) for row in shown], "next_cursor": cursor})


class RetryDelivery(Endpoint):
    """`/api/v1/webhooks/{id}/deliveries/{id}/retry`."""

    post_scope = "admin"

    @described("retry_delivery", {200: "Delivery"}, body=request_of(), optional=True)
    def post(self, request: Request, uid: str, delivery: str) -> Response:
        """Has it attempted now, whatever came of it before."""
        Body(self.body(optional=True)).finish()
        row = endpoints.retry(environment=self.environment, uid=UUID(uid), delivery=UUID(delivery))
        return Response(_delivery(row))


_DELIVERY = (
    "endpoint_id", "event", "at", "status", "attempts", "next_attempt_at", "lease_until", "log", "run__uid",
)  # fmt: skip


def _settings(body: Body, *, required: bool) -> dict[str, Any]:
    """The members that an endpoint is made of, those given."""
    url = body.label("url", longest=endpoints.LONGEST_URL, required=required)
    given: dict[str, Any] = {} if url is None else {"url": url}
    if required or "events" in body.value:
        given["events"] = body.labels("events", most=len(RUN_EVENTS), longest=50)
    if (description := body.text("description", longest=endpoints.LONGEST_DESCRIPTION)) is not None:
        given["description"] = description
    return given


def _shown(endpoint: WebhookEndpoint) -> dict[str, Any]:
    old = [entry["until"] for entry in endpoint.secrets if entry["until"] is not None]
    return {
        "id": str(endpoint.pk),
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description or None,
        "disabled": endpoint.disabled_at is not None,
        "disabled_at": stamp(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason or None,
        "failing_since": stamp(endpoint.failing_since),
        "old_secrets_until": stamp(datetime.fromisoformat(max(old))) if old else None,
        "created_at": stamp(endpoint.created_at),
        "created_by": endpoint.created_by,
    }


def _delivery(row: WebhookDelivery) -> dict[str, Any]:
    last = row.log[-1] if row.log else {}
    return {
        "id": str(row.pk),
        "event": row.event,
        "run": str(row.run.uid) if row.run else None,
        "at": stamp(row.at),
        "status": row.status,
        "attempts": row.attempts,
        "last_response_status": last.get("status"),
        "last_error": last.get("error"),
        "next_attempt_at": stamp(row.next_attempt_at),
        "log": [_attempt(entry) for entry in row.log],
    }


def _attempt(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "at": stamp(datetime.fromisoformat(entry["at"]))}
