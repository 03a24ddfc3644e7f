"""What the overview says: how runs stand, what wakes next, who works, what was called off and what failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from automations.execution import roster
from automations.forms.guesses import guessed
from automations.models import (
    Automation,
    Cancellation,
    Environment,
    LiveRun,
    LiveState,
    Origin,
    Run,
    RunStatus,
    standing,
)
from automations.models.due import counted_between
from automations.models.run_search import CappedCount
from logs import rows
from logs.rows import MOST_COUNTED, MOST_COUNTED_NARROWED, Row
from logs.search import LATE_AFTER, Search, Span
from logs.tags import tag

SPANS = {
    "hour": ("Next hour", timedelta(minutes=5), 12),
    "day": ("Next 24 hours", timedelta(hours=2), 12),
    "week": ("Next 7 days", timedelta(days=1), 7),
}
MOST_IN_A_BIN = 1_000
COUNTS_KEPT = 2  # seconds; one count serves all tabs, however many are open
RECENT = 5
LOOKED_AT = 200
HEIGHT = 56  # of the strip, in units of its own


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A number that leads to the runs it counts, counted up to one more than `most`."""

    name: str
    label: str
    count: int
    most: int
    search: Search

    @property
    def address(self) -> str:
        """The query string of the logs."""
        return self.search.address()


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The runs that wake in one stretch of time, counted up to one more than MOST_IN_A_BIN; drawn at `x`, `width`
    and `height` units large."""

    span: Span
    count: int
    x: float
    width: float
    height: float

    @property
    def y(self) -> float:
        return HEIGHT - self.height

    @property
    def address(self) -> str:
        """The query string of the logs."""
        return Search(wakes=str(self.span)).address()


@dataclass(frozen=True, kw_only=True)
class Stop:
    """One thing to do before everything has been seen once, and the page where it is done."""

    words: str
    is_done: bool
    address: str


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The environment as it stands at `now` (UTC). `workers` are alive; `oldest_due` is the due time of the step
    that waits longest, None when none is due; `first` an automation to begin with."""

    now: datetime
    span: str
    tiles: Sequence[Tile]
    bins: Sequence[Bin]
    workers: int
    oldest_due: datetime | None
    is_stuck: bool
    cancellations: Sequence[Cancellation]
    failures: Sequence[Row]
    checklist: Sequence[Stop]
    first: First | None

    @classmethod
    def read(cls, *, environment: Environment, span: str, now: datetime, workers: int) -> Overview:
        """Some twenty statements at most; the counts are kept for two seconds."""
        due = LiveRun.objects.within(environment.pk).due(now=now)
        tiles = _tiles(environment, now)
        is_empty = not any(tile.count for tile in tiles)
        first = first_automation(environment) if is_empty else None
        return cls(
            now=now,
            span=span,
            tiles=tiles,
            bins=_bins(environment, span, now),
            workers=workers,
            oldest_due=due.values_list("due_at", flat=True).first(),
            is_stuck=workers > 0 and roster.is_idle_over_work(),
            cancellations=_recent_cancellations(environment),
            failures=_recent_failures(environment, now),
            checklist=_checklist(environment, first) if is_empty else (),
            first=first,
        )

    @property
    def tag(self) -> str:
        """Changes whenever something would look different."""
        return tag(
            self.span,
            [tile.count for tile in self.tiles],
            [(str(bin.span), bin.count) for bin in self.bins],
            [self.workers, self.is_stuck, self.oldest_due],
            [
                (row.pk, row.cancelled, row.is_carried_out, row.undone_at, row.restored_at)
                for row in self.cancellations
            ],
            [row.run.pk for row in self.failures],
            [stop.is_done for stop in self.checklist],
            self.first,
        )


def _tiles(environment: Environment, now: datetime) -> list[Tile]:
    """What needs an eye first, each through an index."""
    searches = {
        "waiting": ("Waiting", Search(status="waiting")),
        "running": ("Running", Search(status="running")),
        "late": ("Late by a minute", Search(wakes="late")),
        "failed": ("Failed, of those started in 24 h", Search(status="failed", started="24h")),
        "cancelled": ("Cancelled, of those started in 24 h", Search(status="cancelled", started="24h")),
    }
    name = "tiles-" + tag(environment.pk)
    counts: Sequence[tuple[int, int]] | None = cache.get(name)
    if counts is None:
        counts = _counts(environment, [search for _, search in searches.values()], now)
        cache.set(name, counts, COUNTS_KEPT)
    return [
        Tile(name=name, label=label, count=count, most=most, search=search)
        for (name, (label, search)), (count, most) in zip(searches.items(), counts, strict=True)
    ]


def _counts(environment: Environment, searches: Sequence[Search], now: datetime) -> list[tuple[int, int]]:
    """How many runs each search finds, counted up to one more than the second number, in one statement."""
    bars, herd = list(standing(environment=environment)), rows.herd_of(environment)
    capped = []
    for search in searches:
        most = _most_of(search) + 1
        if search.started:
            runs = search.runs(environment, now=now)
            capped.append(runs.count_in_status(search.status, environment=environment, most=most, bars=bars))
            continue
        # Without looking each of them up in Run.
        live = rows.still(
            LiveState(search.status or LiveState.WAITING), environment=environment, bars=bars, herd=herd
        )
        live = live.filter(due_at__lt=now - LATE_AFTER) if search.wakes else live
        capped.append(CappedCount(live.values("pk")[:most]))
    found: Sequence[int] = Environment.objects.filter(pk=environment.pk).values_list(*capped).get()
    return [
        rows.least(count, most) if herd and search.status == RunStatus.RUNNING else (count, most)
        for search, count in zip(searches, found, strict=True)
        for most in [_most_of(search)]
    ]


def _most_of(search: Search) -> int:
    """Of runs invoked within a time fewer are counted: each has to be looked at."""
    return MOST_COUNTED_NARROWED if search.started else MOST_COUNTED


def _bins(environment: Environment, span: str, now: datetime) -> list[Bin]:
    """What wakes in each stretch of the span, the first of which has begun; the last ends with the span or later."""
    spans = _spans(span, now)
    name = "bins-" + tag(environment.pk, [str(one) for one in spans])
    counts: Sequence[int] | None = cache.get(name)
    if counts is None:
        counts = _waking(environment, spans, now)
        cache.set(name, counts, COUNTS_KEPT)
    highest, width = max([*counts, 1]), 600 / len(spans)
    return [
        Bin(
            span=one, count=count, x=round(index * width, 2), width=round(width, 2),
            height=round(max(HEIGHT * min(count, MOST_IN_A_BIN) / min(highest, MOST_IN_A_BIN), 3), 1) if count else 1,
        )
        for index, (one, count) in enumerate(zip(spans, counts, strict=True))
    ]  # fmt: skip


def _spans(span: str, now: datetime) -> list[Span]:
    """The stretches of that span, in UTC, and the one in which it ends, unless it ends with another; days begin at
    midnight in the zone of the page."""
    _, length, number = SPANS[span]
    steps = [index * length for index in range(number + 2)]
    if length == timedelta(days=1):
        today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        ends = [timezone.make_aware(today + step).astimezone(UTC) for step in steps]
    else:
        first = now - timedelta(seconds=now.timestamp() % length.total_seconds())
        ends = [first.replace(second=0, microsecond=0) + step for step in steps]
    if ends[0] == now:
        ends.pop()
    return [Span(start=start, end=end) for start, end in pairwise(ends)]


def _waking(environment: Environment, spans: Sequence[Span], now: datetime) -> list[int]:
    """How many waiting runs are due in each span, in one statement; what is due already counts no more."""
    bars = list(standing(environment=environment))
    waiting = rows.still(LiveState.WAITING, environment=environment, bars=bars)
    stretches = [(max(one.start, now), one.end) for one in spans]
    return counted_between(waiting, stretches, most=MOST_IN_A_BIN + 1)


def _recent_cancellations(environment: Environment) -> list[Cancellation]:
    """The last, among the LOOKED_AT latest, without the steps and rules that hit nothing: those of a busy automation
    would be all there is, and what hit something has no index. Where there are no others they are shown."""
    latest = Cancellation.objects.filter(environment=environment).order_by("-pk")
    shown = latest.only("actor", "origin", "reason", "filter", "as_of", "cancelled", "counted", "at", "scheduled",
                        "undone_at", "restored_at")  # fmt: skip
    idle = {"cancelled": 0, "hold_until": None, "origin__in": (Origin.STEP, Origin.RULE)}
    telling = shown.filter(pk__in=latest.values("pk")[:LOOKED_AT]).exclude(**idle)
    return list(telling[:RECENT]) or list(shown[:RECENT])


def _recent_failures(environment: Environment, now: datetime) -> list[Row]:
    """Those that failed last among the LOOKED_AT failed runs that were invoked last: when a run ended has no index."""
    failed = Run.objects.within(environment).filter(status=RunStatus.FAILED).newest_first()
    ended = failed.values_list("finished_at", "pk")[:LOOKED_AT]
    last = [pk for _, pk in sorted(ended, reverse=True)[:RECENT]]
    runs = Run.objects.filter(pk__in=last).listed().in_bulk()
    return rows.rows_of([runs[pk] for pk in last], now=now)


class First(NamedTuple):
    """An automation to begin with: its key, and data as JSON with which it can be invoked as it stands."""

    key: str
    data: str


def first_automation(environment: Environment) -> First | None:
    """None where nothing is published."""
    ready = Automation.objects.within(environment).filter(disabled_at=None).exclude(published=None)
    row = ready.select_related("published").order_by("key").first()
    if row is None or row.published is None:
        return None
    token, owner = row.published.definition.get("cancellation_token"), f"{environment.pk}/sample"
    return First(row.key, json.dumps(guessed(token, now=row.updated_at, owner=owner)))


def _checklist(environment: Environment, first: First | None) -> list[Stop]:
    """What a newcomer does first."""
    automations, listed = Automation.objects.within(environment), reverse("templates:list")
    use = reverse("templates:use", args=[first.key]) if first else listed
    called_off = Cancellation.objects.filter(environment=environment).exists()
    return [
        Stop(words="Write an automation", is_done=automations.exists(), address=listed),
        Stop(words="Publish it", is_done=automations.exclude(published=None).exists(), address=listed),
        Stop(words="Invoke it", is_done=Run.objects.within(environment).exists(), address=use),
        Stop(words="Call a run off", is_done=called_off, address=reverse("logs:list")),
    ]
