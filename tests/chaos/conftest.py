"""What the chaos tests share: a PostgreSQL that may be stopped, where that is the database under test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.chaos.database import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server | None]:
    """None on SQLite, which has no server."""
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
        yield None
        return
    with Server() as server:
        yield server
