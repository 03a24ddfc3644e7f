"""The tree of workers waits for its database: that it answers, and that it has tables."""

from __future__ import annotations

import io
import logging

import pytest
from django.db import OperationalError

from automations.cluster import tree
from automations.models import unprepared
from tests.management.test_prepared import Tables


@pytest.mark.pure
def test_what_it_waits_for_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    down = OperationalError("connection refused\n")
    answers = Tables(down, down, False, False, True)
    monkeypatch.setattr(tree, "is_prepared", answers)
    monkeypatch.setattr(tree, "connection", io.StringIO())  # it can be closed
    monkeypatch.setattr(tree, "PAUSE_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING, logger="automations"):
        tree._await_database()
    assert caplog.messages == [
        "waiting for the database: connection refused", f"waiting for the database: {unprepared()}",
    ]  # fmt: skip
    assert answers.answers == [True]
