"""How values look on every page: icons, moments, people, ids, JSON, capped counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from automations.models import Cancellation
from automations.timeline import StepState
from logs import words
from logs.rows import MOST_COUNTED
from logs.search import Span

register = template.Library()
register.filter("who", words.who)
register.filter("called", words.called)
register.filter("short", words.short)
register.filter("sentence", words.sentence)
register.filter("state_of", words.state_of)


@register.simple_tag
def icon(name: str) -> SafeString:
    """A drawing from icons.svg; it says nothing to a screen reader, so words stand beside it."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("icons.svg"), name,
    )  # fmt: skip


LOOKS: dict[str, Callable[[datetime], str]] = {
    "full": lambda at: f"{at.day} {at:%b %Y %H:%M:%S}.{at.microsecond // 1000:03d} {at.tzname() or ''}",
    "second": lambda at: f"{at.day} {at:%b %Y %H:%M:%S} {at.tzname() or ''}",
    "clock": lambda at: f"{at:%H:%M:%S}",
    "near": lambda at: f"{words.dated(at)}{at:%H:%M:%S}",
    "fine": lambda at: f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}",
    "date": lambda at: f"{at.day} {at:%b %Y}, {at.tzname() or ''}",
    "day": lambda at: f"{words.day(at)}, {at.tzname() or ''}",
    "relative": lambda at: relative(at, now=timezone.now()),
}


@register.simple_tag
def moment(at: datetime, look: str = "full", above: datetime | None = None) -> SafeString:
    """A time in the zone of the page. `look`: full (date, milliseconds, zone), second (without the milliseconds),
    clock (14:02:11), near (the same, with the day unless it is today), fine (14:02:11.204, with the day where it is
    not that of what stands `above`, or today), day (20 Nov, UTC), date (20 Nov 2026, UTC), relative (in 23 h; app.js
    keeps it fresh)."""
    local = timezone.localtime(at)
    utc = words.stamp(at)
    attribute = " data-relative" if look == "relative" else ""
    told = (words.dated(at, above=above) if look == "fine" else "") + LOOKS[look](local)
    return format_html('<time datetime="{}" title="{}"{}>{}</time>', utc, utc, attribute, told)


def relative(at: datetime, *, now: datetime) -> str:
    """ "in 23 h", "5 min ago", "now": the largest whole unit, as app.js says it."""
    seconds = round((at - now).total_seconds())
    size = abs(seconds)
    if size < 1:
        return "now"
    for length, unit in ((86_400 * 2, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if size >= length:
            count = size // (86_400 if unit == "d" else length)
            return f"in {count} {unit}" if seconds > 0 else f"{count} {unit} ago"
    return "now"


@register.filter
def capped(count: int, most: int = MOST_COUNTED) -> str:
    """ "241", "10,000+"."""
    return f"{most:,}+" if count > most else f"{count:,}"


@register.filter
def number(count: int) -> str:
    """ "484,679"."""
    return f"{count:,}"


@register.filter
def stretch(span: Span) -> str:
    """ "20:05 to 20:10 UTC", with the days unless both are today."""
    start, end = timezone.localtime(span.start), timezone.localtime(span.end)
    if len(span.bounds) < 2:  # open at one end
        word, moment = ("since", start) if "after" in span.bounds else ("until", end)
        return f"{word} {moment.strftime('%-d %b %Y %H:%M')} {moment.tzname()}"
    if span.end - span.start < timedelta(days=1):
        first, last = words.dated(start), words.dated(end, above=start)
    else:
        first, last = (f"{at:%a} {words.day(at)} " for at in (start, end))
    return f"{first}{start:%H:%M} to {last}{end:%H:%M} {end.tzname()}"


@register.filter
def beginning(span: Span) -> str:
    """Where a span begins, as short as it can be told: “20:05”, “Mon 23”."""
    start = timezone.localtime(span.start)
    return start.strftime("%H:%M" if span.end - span.start < timedelta(hours=12) else "%a %-d")


@register.filter
def asked_for(cancellation: Cancellation) -> str:
    """Which runs a cancellation is for, in words."""
    return words.asked_for(cancellation.scope)


@register.filter
def pretty(value: Any) -> str:
    """Indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain)


@register.filter
def compact(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, default=_plain)


@register.filter
def search_for(value: str, field: str) -> str:
    """The query string of the logs for exactly this value of that field."""
    quoted = f'{field}:"{value}"' if '"' not in value else f"{field}:{value}"
    return urlencode({"q": quoted})


@register.filter
def origin(cancellation: Cancellation) -> str:
    """Where a cancellation came from, in words."""
    return words.ORIGINS[cancellation.origin]


@register.filter
def outcome(step: StepState) -> str:
    """What came of a step that was in flight at a cancel."""
    return words.after_cancel(step.outcome_after_cancel)


@register.filter
def lasted(started: datetime | None, finished: datetime | None) -> str:
    """ "180 ms", "2.4 s", "3 min"; empty when either end is not known."""
    if started is None or finished is None:
        return ""
    milliseconds = round((finished - started).total_seconds() * 1000)
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return relative(finished, now=started).removeprefix("in ")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return words.stamp(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
