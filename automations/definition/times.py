"""Reads durations and moments as people and vendors write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

LONGEST_DELAY = timedelta(days=366)
FURTHEST_UNTIL = timedelta(days=5 * 366)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

_UNITS = {"second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "m": 60, "hour": 3600, "hr": 3600, "h": 3600,
          "day": 86400, "d": 86400, "week": 604800, "w": 604800}  # fmt: skip
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]+)\s*(?:,|\band\b)?\s*", re.ASCII)
_ISO = re.compile(
    r"P(?=[\dT])(?:(?P<w>\d{1,6})W)?(?:(?P<d>\d{1,6}(?:\.\d{1,6})?)D)?"
    r"(?:T(?=\d)(?:(?P<h>\d{1,6}(?:\.\d{1,6})?)H)?(?:(?P<m>\d{1,8}(?:\.\d{1,6})?)M)?(?:(?P<s>\d{1,9}(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?(Z)?", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """`5 minutes`, `1 day 2 hours`, `PT1H`, `P3DT2H` as a timedelta of 0 to 366 days. ValueError says what is wrong.

    ISO 8601 years and months are refused: they have no fixed length.
    """
    written = text.strip()
    seconds = _iso_seconds(written) if written[:1] in ("P", "p") else _spoken_seconds(written.lower())
    if seconds is None:
        raise ValueError(f"{text[:100]!r} is not a duration; write “5 minutes”, “1 day 2 hours” or “PT1H”")
    if seconds > LONGEST_DELAY.total_seconds():
        raise ValueError(f"{text[:100]!r} is longer than 366 days")
    return timedelta(seconds=seconds)


def parse_moment(text: str) -> datetime:
    """ISO 8601 with or without a zone, or Courier's compact `20240408T080910.123`, as UTC; without a zone it is UTC.

    ValueError says what is wrong.
    """
    written = text.strip()
    try:
        moment = _compact(written) or datetime.fromisoformat(written)
        zoned = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return zoned.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text[:100]!r} is not a moment; write ISO 8601, such as 2026-11-20T14:00:00Z"
        ) from error


def parse_bound(text: str) -> datetime:
    """The moment, as a bound of what is sought. ValueError says what is wrong."""
    return bounded(parse_moment(text))


def bounded(moment: datetime) -> datetime:
    """The moment, brought between the years 2000 and 9000, so that no reckoning with it leaves the calendar."""
    return min(max(moment, EARLIEST), LATEST)


def _iso_seconds(written: str) -> float | None:
    match = _ISO.fullmatch(written.upper())
    if match is None or not any(match.groupdict().values()):
        return None
    part = {name: float(value or 0) for name, value in match.groupdict().items()}
    return part["w"] * 604800 + part["d"] * 86400 + part["h"] * 3600 + part["m"] * 60 + part["s"]


def _spoken_seconds(written: str) -> float | None:
    total, at = 0.0, 0
    while at < len(written):
        match = _PART.match(written, at)
        if match is None:
            return None
        unit = match[2] if match[2] in _UNITS else match[2].removesuffix("s")
        if unit not in _UNITS:
            return None
        total += float(match[1]) * _UNITS[unit]
        at = match.end()
    return total if written else None


def _compact(written: str) -> datetime | None:
    match = _COMPACT.fullmatch(written)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _ = match.groups()
    microsecond = int((fraction or "0").ljust(6, "0"))
    return datetime(
        int(year), int(month), int(day), int(hour), int(minute), int(second or 0), microsecond, tzinfo=UTC
    )
