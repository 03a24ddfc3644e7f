"""`manage.py migrate`: Django's, by one machine at a time."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate

from automations.management.preparing import one_at_a_time


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with one_at_a_time():
            super().handle(*args, **options)
