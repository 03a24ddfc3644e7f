"""Migrations of one database are made by one at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from automations.management.preparing import one_at_a_time

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite locks its file by itself"),
]


def test_who_migrates_waits_for_whoever_does_it_already() -> None:
    begun, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with one_at_a_time(), one_at_a_time():  # as `up` does, which calls the command
            begun.set()
            enough.wait(10)
        connection.close()

    def migrate() -> str:
        said = StringIO()
        call_command("migrate", plan=True, stdout=said)
        connection.close()
        return said.getvalue()

    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(hold)
        assert begun.wait(10)
        migrating = pool.submit(migrate)
        with pytest.raises(TimeoutError):
            migrating.result(timeout=0.5)
        enough.set()
        assert "No planned migration operations." in migrating.result(timeout=20)
        holding.result(timeout=10)
