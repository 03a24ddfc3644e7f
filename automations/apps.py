"""The Django application that stores automations and runs them."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate


class AutomationsConfig(AppConfig):
    name = "automations"

    def ready(self) -> None:
        from automations.models.sqlite_statistics import tell_sqlite

        connection_created.connect(plan_for_short_statements)
        post_migrate.connect(tell_sqlite, sender=self)


def plan_for_short_statements(connection: Any, **_: Any) -> None:
    """Keeps PostgreSQL from compiling statements, and from starting processes for them: it does so by estimates that
    know nothing of a LIMIT within, and either takes longer than a page may."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET jit = off; SET max_parallel_workers_per_gather = 0")
