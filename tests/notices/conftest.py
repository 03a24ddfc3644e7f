"""What tests of notices may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from automations.notices import endpoints
from tests.channels.sinks import HttpSink


@pytest.fixture(autouse=True)
def _in_force_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else has read the endpoints, so nobody has to be waited for."""
    monkeypatch.setattr(endpoints, "KEPT_SECONDS", 0.0)


@pytest.fixture
def sink(settings: Any) -> Iterator[HttpSink]:
    """A receiver that may be reached."""
    settings.ALLOW_PRIVATE_NETWORKS = ("127.0.0.1",)
    with HttpSink() as sink:
        yield sink
