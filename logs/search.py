"""Turns the words of the logs' address into queryset methods, and back into the one canonical address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.utils import timezone

from automations.models import KEY_PATTERN, Environment, Run, RunQuerySet, RunStatus

LONGEST = 600
PRESETS = {
    "15m": ("Last 15 minutes", timedelta(minutes=15)),
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
WAKES = {
    "late": ("Late", None),
    "1h": ("Within the hour", timedelta(hours=1)),
    "24h": ("Within 24 hours", timedelta(hours=24)),
    "7d": ("Within 7 days", timedelta(days=7)),
}
LATE_AFTER = timedelta(seconds=60)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  # where a span is open at its beginning
FAR_AWAY = datetime(2100, 1, 1, tzinfo=UTC)  # and at its end
FIELDS = ("token", "source", "recipient", "key")
NOUNS = {  # what each that has no other words of its own is a
    "status": "status", "automation": "automation", "started": "span", "wakes": "span",
    "cancellation": "cancellation", "before": "page",
}  # fmt: skip
BESIDE = (
    "q",
    "from",
    "to",
    "tag",
    "since",
    "these",
)  # what is new, and which runs exactly, a page asks with the last
_QUALIFIED = re.compile(rf'(?:^|(?<=\s))({"|".join(FIELDS)}):(?:"([^"]+)"|(\S+))')


class Qualified(NamedTuple):
    """A value looked for in one field: as a whole, or as its beginning as well."""

    field: str
    value: str
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Search:
    """What one address of the logs asks for. `wakes` is one of WAKES, or a Span as text; `cancellation` the id of the
    one that called the runs off; `before` the run after which an older page begins; `unread` the two ends of a span, as
    they were written, that is none; `odd` what of the address cannot be understood, by name."""

    text: str = ""
    status: str = ""
    automation: str = ""
    started: str = ""
    wakes: str = ""
    cancellation: str = ""
    before: int | None = None
    unread: tuple[str, str] = ("", "")
    odd: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Search:
        """The search that a query string describes; what it does not know is `odd`."""
        automation = query.get("automation", "")
        ends = query.get("from", ""), query.get("to", "")
        between = _between(*ends)
        read = cls(
            text=query.get("q", "").strip(),
            status=_one_of(query.get("status", ""), RunStatus.values),
            automation=automation if re.match(KEY_PATTERN, automation) else "",
            started=between or _started(query.get("started", "")),
            unread=("", "") if between else ends,
            wakes=_wakes(query.get("wakes", "")),
            cancellation=_uuid(query.get("cancellation", "")),
            before=row_number(query.get("before", "")),
        )
        return replace(read, odd=tuple(_odd(query, read)))

    @property
    def fault(self) -> str:
        """What is wrong with what is asked for, as a sentence; empty when it can be searched for."""
        if any(self.unread):
            return "Started between: write two moments, the second of which is later."
        if self.odd:
            name, value = self.odd[0]
            return (
                f"There is no {NOUNS[name]} “{value}”." if name in NOUNS else f"There is no filter “{name}”."
            )
        if len(self.text) > LONGEST:
            return f"A search may have at most {LONGEST} characters."
        return "A search cannot hold a NUL character." if "\0" in self.text else ""

    @property
    def narrows(self) -> bool:
        """Whether anything but a page is asked for."""
        return bool(
            self.text or self.status or self.automation or self.started or self.wakes or self.cancellation
        )

    @property
    def uid(self) -> UUID | None:
        """The run that the text names, when it is a whole run id."""
        digits = self.text.replace("-", "").lower()
        return UUID(digits) if re.fullmatch(r"[0-9a-f]{32}", digits) else None

    @property
    def qualified(self) -> Sequence[Qualified]:
        """The parts of the text that name the field they are looked for in."""
        return [
            Qualified(field, quoted or bare, bool(quoted))
            for field, quoted, bare in _QUALIFIED.findall(self.text)
        ]

    @property
    def bare(self) -> str:
        """What is left of the text, looked for in every field."""
        return _QUALIFIED.sub("", self.text).strip()

    @property
    def searched(self) -> Sequence[str]:
        """The fields that the text is looked for in, in words."""
        if self.bare:
            return ["run ID", "source", "token", "recipient", "key"]
        return [part.field for part in self.qualified]

    def address(self, **changes: Any) -> str:
        """The canonical query string, empty fields dropped, of this search with these changes; "" or "?…"."""
        search = replace(self, **changes)
        fields = {
            "q": search.text, "status": search.status, "automation": search.automation,
            "started": search.started, "wakes": search.wakes,
            "cancellation": search.cancellation, "before": search.before,
            "from": search.unread[0], "to": search.unread[1],
        }  # fmt: skip
        odd = {name: value for name, value in self.odd if name not in changes}
        query = urlencode({name: value for name, value in fields.items() if value} | odd)
        return f"?{query}" if query else ""

    def runs(self, environment: Environment, *, now: datetime) -> RunQuerySet:
        """The runs it asks for, except for status and page: what the status chips count."""
        runs = Run.objects.within(environment)
        if self.fault:
            return runs.none()
        if self.automation:
            runs = runs.following(key=self.automation, environment=environment)
        bounds = self.starting(now=now)
        if "after" in bounds:
            runs = runs.since(bounds["after"])
        if "before" in bounds:
            runs = runs.until(bounds["before"])
        if self.cancellation:
            runs = runs.called_off_by(UUID(self.cancellation), environment=environment)
        if self.wakes:
            runs = runs.waking(environment=environment, **self.waking(now=now))
        for part in self.qualified:
            runs = runs.found_by(part.value, environment=environment, fields=[part.field], whole=part.whole)
        return runs.found_by(self.bare, environment=environment) if self.bare else runs

    @property
    def between(self) -> Span | None:
        """The part of the past that it asks for, when that is none of PRESETS."""
        return Span.read(self.started)

    def starting(self, *, now: datetime) -> dict[str, datetime]:
        """When the runs were invoked that it asks for: `after`, `before`, or none of them."""
        if (span := self.between) is not None:
            return span.bounds
        return {"after": now - PRESETS[self.started][1]} if self.started else {}

    @property
    def span(self) -> Span | None:
        """The part of the future that it asks for, when that is none of WAKES."""
        return Span.read(self.wakes)

    def waking(self, *, now: datetime) -> dict[str, datetime]:
        """When the runs are due that it asks for: `after`, `before`, or none of them."""
        if not self.wakes:
            return {}
        if (span := self.span) is not None:
            return span.bounds
        length = WAKES[self.wakes][1]
        return {"before": now - LATE_AFTER} if length is None else {"before": now + length}


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of time (UTC, whole minutes); `end` is not part of it. One that begins LONG_AGO, or ends FAR_AWAY, is
    open there."""

    start: datetime
    end: datetime

    @classmethod
    def read(cls, text: str) -> Span | None:
        """The span that `str` wrote: `2026-11-21T20:05Z/2026-11-21T20:10Z`."""
        try:
            start, end = (datetime.strptime(part, _MINUTE).replace(tzinfo=UTC) for part in text.split("/"))
        except ValueError:
            return None
        return cls(start=start, end=end) if LONG_AGO <= start < end <= FAR_AWAY else None

    @property
    def bounds(self) -> dict[str, datetime]:
        """`after`, `before`; none for an open end."""
        ends = {"after": self.start, "before": self.end}
        return {name: end for name, end in ends.items() if LONG_AGO < end < FAR_AWAY}

    def __str__(self) -> str:
        return f"{self.start.strftime(_MINUTE)}/{self.end.strftime(_MINUTE)}"


_MOST_ODD, _LONGEST_ODD = 5, 100


def _odd(query: Mapping[str, str], read: Search) -> Iterator[tuple[str, str]]:
    """What a query string says that the search does not, the first few, each cut short."""
    understood = {*BESIDE, *(name for name in NOUNS if getattr(read, name) or not query.get(name))}
    for name in [name for name in query if name not in understood][:_MOST_ODD]:
        yield name[:_LONGEST_ODD], query[name][:_LONGEST_ODD]


_MINUTE = "%Y-%m-%dT%H:%MZ"


def _started(text: str) -> str:
    return text if text in PRESETS or Span.read(text) is not None else ""


def _between(start: str, end: str) -> str:
    """The span between two moments in the zone of the page, either of which may be missing; "" for what is none."""
    try:
        ends = [
            timezone.make_aware(datetime.fromisoformat(text)).astimezone(UTC) if text else None
            for text in (start, end)
        ]
    except (ValueError, OverflowError):
        return ""
    text = str(Span(start=ends[0] or LONG_AGO, end=ends[1] or FAR_AWAY))
    return text if any(ends) and Span.read(text) is not None else ""


def _wakes(text: str) -> str:
    return text if text in WAKES or Span.read(text) is not None else ""


def _uuid(text: str) -> str:
    try:
        return str(UUID(text)) if text else ""
    except ValueError:
        return ""


def row_number(text: str) -> int | None:
    """The primary key that an address names; None for what cannot be one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _one_of(word: str, words: Sequence[str]) -> str:
    return word if word in words else ""
