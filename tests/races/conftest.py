"""What every race may use."""

from __future__ import annotations

import pytest

from automations import channels
from tests.races.sink import Sink


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Sink:
    """Where the messages of this test go."""
    sink = Sink()
    monkeypatch.setitem(channels.CHANNELS, "console", sink)
    return sink
