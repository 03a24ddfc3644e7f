"""What tests of notices may use."""

from __future__ import annotations

import pytest

from automations.notices import endpoints


@pytest.fixture(autouse=True)
def _in_force_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else has read the endpoints, so nobody has to be waited for."""
    monkeypatch.setattr(endpoints, "KEPT_SECONDS", 0.0)
