"""Receivers that are busy and say for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automations.models import WebhookDelivery, database_now
from automations.notices import delivery
from tests.channels.sinks import HttpSink, reply
from tests.notices.scene import deliver_all, endpoint
from tests.scenes import invoke

pytestmark = pytest.mark.django_db
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "nobody"}


@pytest.mark.parametrize(
    ("status", "asked", "least", "most"),
    [
        (429, "600", 600, 660),
        (503, "600", 600, 660),
        (429, "1", 5, 5.5),  # not before its own pause
        (429, "999999999999", 86_400, 95_040),  # nor later than its longest
        (429, "9" * 5_000, 86_400, 95_040),
        (429, "in 10 minutes", 5, 5.5),
        (429, "-600", 5, 5.5),
        (500, "600", 5, 5.5),
    ],
)
def test_a_receiver_that_asks_for_time_is_given_it(
    sink: HttpSink, status: int, asked: str, least: float, most: float
) -> None:
    sink.behaviours["/"] = reply(status, Retry_After=asked)
    assert least <= waits_for(sink) <= most + 2


def waits_for(sink: HttpSink) -> float:
    """Seconds until the next attempt, after the first."""
    endpoint(url=sink.url())
    invoke(CANCEL)
    before = database_now()
    deliver_all()
    row = WebhookDelivery.objects.get()
    assert (row.status, row.next_attempt_at is None) == ("pending", False)
    return (row.next_attempt_at - before).total_seconds() if row.next_attempt_at else 0.0


@pytest.mark.parametrize(("hours", "least", "most"), [(1, 3_500, 3_970), (-1, 5, 7.5), (100, 86_400, 95_042)])
def test_it_may_ask_by_a_date(sink: HttpSink, hours: int, least: float, most: float) -> None:
    date = format_datetime(database_now() + timedelta(hours=hours), usegmt=True)
    sink.behaviours["/"] = reply(429, Retry_After=date)
    assert least <= waits_for(sink) <= most


@given(text=st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ \S*"))
def test_no_retry_after_upsets_it(text: str) -> None:
    spared = delivery._spared(text, at=datetime(2026, 11, 20, tzinfo=UTC))
    assert timedelta() <= spared <= delivery.PAUSES[-1]
