"""Tells a supervisor whether the process is up, and whether it can do its work."""

from __future__ import annotations

from functools import cache

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from rest_framework.request import Request
from rest_framework.response import Response

from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.execution import roster
from automations.models import SILENT_AFTER, Worker, database_now


class OpenEndpoint(Endpoint):
    """An address that takes no key."""

    authentication_classes = ()
    permission_classes = ()


class Healthz(OpenEndpoint):
    """`/healthz`."""

    @described("healthz", {200: "Health"})
    def get(self, request: Request) -> Response:
        """200 as long as the process answers at all."""
        return Response({"status": "ok"})


class Readyz(OpenEndpoint):
    """`/readyz`."""

    @described("readyz", {200: "Health", 503: "Unready"})
    def get(self, request: Request) -> Response:
        """200 when runs are accepted and carried out; else 503 with the reasons."""
        if reasons := _reasons():
            return Response({"status": "unavailable", "reasons": reasons}, status=503)
        return Response({"status": "ok"})


def _reasons() -> list[str]:
    try:
        if _migrations() - MigrationRecorder(connection).applied_migrations().keys():
            return ["migrations are missing"]
        if not Worker.objects.filter(seen_at__gte=database_now() - SILENT_AFTER).exists():
            return [f"no worker was seen for {SILENT_AFTER.seconds} seconds"]
        if roster.is_idle_over_work():
            return [f"steps are overdue and no worker took any for {roster.IDLE_FOR.seconds} seconds"]
    except DatabaseError:
        return ["the database does not answer"]
    return []


@cache
def _migrations() -> frozenset[tuple[str, str]]:
    """What this program's files hold, each by its app and name: read once, for it is asked every few seconds."""
    return frozenset(MigrationLoader(None).disk_migrations)
