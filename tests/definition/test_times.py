"""Durations and moments as people and vendors write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from automations.definition import parse_duration, parse_moment
from automations.definition.times import EARLIEST, LATEST, parse_bound


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5 minutes", 300), ("1 minute", 60), ("1 day 2 hours", 93600), ("1 day, 2 hours", 93600),
        ("1 hour and 30 minutes", 5400), ("90s", 90), ("1.5 hours", 5400), ("2 weeks", 1_209_600), ("3 DAYS", 259200),
        ("1d2h3m4s", 93784), ("PT1H", 3600), ("P3DT2H", 266_400), ("P1W", 604_800), ("PT0.5S", 0.5), ("pt5m", 300),
        ("0 seconds", 0), ("366 days", 366 * 86400),
    ],
)  # fmt: skip
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "5", "minutes", "5 fortnights", "-5 minutes", "P", "PT", "P1Y", "P1M", "1 month", "five minutes",
     "5 minutes later", "PT1H30", "١ day", "1e3 seconds", "s", "and", "5 sms"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["367 days", "999999999 weeks", "P367D", "366 days 1 second"])
def test_a_duration_of_more_than_366_days_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 366 days"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T14:02:11Z", datetime(2026, 11, 20, 14, 2, 11, tzinfo=UTC)),
        ("2026-11-20T14:02:11.204+02:00", datetime(2026, 11, 20, 12, 2, 11, 204000, tzinfo=UTC)),
        ("2026-11-20T14:02:11", datetime(2026, 11, 20, 14, 2, 11, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("20240408T080910.123", datetime(2024, 4, 8, 8, 9, 10, 123000, tzinfo=UTC)),
        ("20240408T080910", datetime(2024, 4, 8, 8, 9, 10, tzinfo=UTC)),
        ("20240408T0809Z", datetime(2024, 4, 8, 8, 9, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_as_utc(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


def test_a_bound_stays_where_it_can_be_reckoned_with() -> None:
    texts = ("0001-01-01", "1999-12-31T23:59:59Z", "2026-11-20T00:00:00Z", "9999-12-31T23:59:59Z")
    assert [parse_bound(text) for text in texts] == [EARLIEST, EARLIEST, parse_moment(texts[2]), LATEST]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-13-01",
        "2026-02-30T00:00:00Z",
        "20241308T080910",
        "0001-01-01T00:00:00+23:00",
        "12",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a moment"):
        parse_moment(text)
