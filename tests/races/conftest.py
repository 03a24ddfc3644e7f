"""What every race may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from automations import channels
from automations.models import Automation, Environment, Version, Worker
from tests.races.sink import Sink
from tests.races.together import clear


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """What the mark django_db stands for in this folder: transactions that commit, and afterwards only those
    tables emptied that a race writes to. pytest-django's own would flush all of them, which takes longer than
    most races do."""
    with django_db_blocker.unblock():
        if not Environment.objects.exists():  # flushed after a test elsewhere
            connection.creation.deserialize_db_from_string(connection._test_serialized_contents)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            clear()
            Automation.objects.update(published=None)
            Version.objects.all().delete()
            Automation.objects.all().delete()
            Worker.objects.all().delete()


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Sink:
    """Where the messages of this test go."""
    sink = Sink()
    monkeypatch.setitem(channels.CHANNELS, "console", sink)
    return sink
