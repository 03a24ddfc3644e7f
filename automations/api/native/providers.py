"""Providers over the native API: what an environment delivers through, its secrets told never or once."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations.api import paging
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.moments import stamp
from automations.api.reading import Body, Query
from automations.api.schemas import one_of, request_of, text
from automations.directory import providers
from automations.models import MESSAGE_KEY, Provider


class Providers(Endpoint):
    """`/api/v1/providers`."""

    get_scope = "admin"
    post_scope = "admin"

    @described("list_providers", {200: paging.page_of("Provider")}, query=paging.PAGED)
    def get(self, request: Request) -> Response:
        """The environment's providers, without their secrets."""
        query = Query(request.query_params)
        page = paging.asked(query)
        query.finish()
        rows = Provider.objects.filter(environment=self.environment).defer("sealed").order_by("-pk")
        if page.before is not None:
            rows = rows.filter(pk__lt=page.before)
        shown, cursor = page.cut(rows[: page.fetch], lambda row: row.pk)
        return Response({"items": [_shown(row) for row in shown], "next_cursor": cursor})

    @described(
        "create_provider",
        {201: "NewProvider"},
        body=request_of(
            {"key": text(100, pattern=MESSAGE_KEY)},
            {"kind": one_of(*Provider.Kind.values), "url": text(providers.LONGEST_URL)},
        ),
    )
    def post(self, request: Request) -> Response:
        """Stores an Apprise service by its URL; or makes a secret that webhooks are signed with, told this once."""
        body = Body(self.body())
        key = body.matching("key", MESSAGE_KEY)
        kind = Provider.Kind(body.choice("kind", tuple(Provider.Kind.values), Provider.Kind.APPRISE))
        url = None
        if kind is Provider.Kind.APPRISE:
            url = body.label("url", longest=providers.LONGEST_URL, required=True)
        body.finish()
        row, secret = providers.create(
            environment=self.environment, key=key or "", kind=kind, url=url, by=self.actor
        )
        return Response({**_shown(row), **({"secret": secret} if secret else {})}, status=201)


class OneProvider(Endpoint):
    """`/api/v1/providers/{key}`."""

    http_method_names = ("delete",)
    delete_scope = "admin"

    @described("remove_provider", {204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Forgets the provider and its secret."""
        providers.remove(environment=self.environment, key=key)
        return Response(status=204)


def _shown(row: Provider) -> dict[str, Any]:
    return {
        "key": row.key,
        "kind": row.kind,
        "service": row.service or None,
        "created_at": stamp(row.created_at),
        "created_by": row.created_by,
    }
