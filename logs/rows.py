"""Puts one page of runs together: what each row says, and the tag by which a poll knows the page unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db.models import Max, QuerySet

from automations.definition import Definition, parse
from automations.models import (
    Cancellation,
    Environment,
    Event,
    EventKind,
    Invocation,
    LiveRun,
    LiveState,
    Run,
    RunQuerySet,
    RunStatus,
    Version,
    reached,
    standing,
)
from automations.models.run_search import CappedCount
from logs import words
from logs.search import Search
from logs.tags import tag

SIZE = 50
MOST_COUNTED = 10_000
MOST_COUNTED_NARROWED = 1_000  # filters cost a look at every row that is counted
COUNTS_KEPT = 2  # seconds; one count serves all tabs, however many are open
AFTER_THE_END = (EventKind.LATE_RESULT, EventKind.SETTLED, EventKind.FOLLOWED, EventKind.REPLAYED)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A run as one line of the list."""

    run: Run
    badge: words.Badge
    can_be_cancelled: bool


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A status to filter by, with its number of runs, counted up to one more than `most`."""

    status: str
    label: str
    count: int
    most: int


def read_page(
    search: Search, *, environment: Environment, runs: RunQuerySet, size: int | None = None
) -> tuple[list[Run], int | None]:
    """The page's runs, newest first, in one statement; and where the next page begins, None on the last."""
    size = size or SIZE
    runs = runs.before(search.before)
    if search.status:
        bars = list(standing(environment=environment))
        runs = runs.in_status(search.status, environment=environment, most=size + 1, bars=bars)
    found = list(runs.listed().newest_first()[: size + 1])
    return found[:size], found[size - 1].pk if len(found) > size else None


def rows_of(runs: Sequence[Run], *, now: datetime) -> list[Row]:
    """The rows; two statements more for what the runs follow, one for what made some fail."""
    definitions = _definitions(runs)
    failures = _failures(run for run in runs if run.status == RunStatus.FAILED)
    return [
        Row(
            run=run,
            badge=words.badge(run, definition=definitions[run.pk], now=now, failure=failures.get(run.pk)),
            can_be_cancelled=not run.is_finished,
        )
        for run in runs
    ]


def chips_of(search: Search, *, runs: RunQuerySet, environment: Environment) -> list[Chip]:
    """How many of the search's runs are in each status, in one statement, kept for two seconds."""
    filters = search.address(status="", before=None)
    name = "chips-" + tag(environment.pk, filters)
    counts: Sequence[int] | None = cache.get(name)
    most = MOST_COUNTED_NARROWED if filters else MOST_COUNTED
    if counts is None:
        counts = _counts(runs, environment, most=most + 1, narrowed=bool(filters))
        cache.set(name, counts, COUNTS_KEPT)
    by_status = dict(zip(RunStatus.values, counts, strict=True))
    order = ("waiting", "running", "failed", "cancelled", "completed", "skipped")
    return [
        Chip(status=status, label=RunStatus(status).label, count=by_status[status], most=most)
        for status in order
    ]


def _counts(runs: RunQuerySet, environment: Environment, *, most: int, narrowed: bool) -> Sequence[int]:
    """By status, in the order of RunStatus, each counted up to `most`."""
    bars = list(standing(environment=environment))
    rows: dict[str, QuerySet[Any]] = {
        status: runs.in_status(status, environment=environment, most=most, bars=bars)
        for status in RunStatus.values
    }
    if not narrowed:  # the same rows, without looking each of them up in Run
        rows[RunStatus.WAITING] = still_waiting(environment, bars=bars)
    capped = (CappedCount(found.order_by().values("pk")[:most]) for found in rows.values())
    counts: Sequence[int] = Environment.objects.filter(pk=environment.pk).values_list(*capped).get()
    return counts


def count_newer(search: Search, *, runs: RunQuerySet, environment: Environment, since: int) -> int:
    """How many of the search's runs have a higher primary key, counted up to one more than MOST_COUNTED_NARROWED."""
    newer, most = runs.filter(pk__gt=since), MOST_COUNTED_NARROWED + 1
    if search.status:
        bars = list(standing(environment=environment))
        newer = newer.in_status(search.status, environment=environment, most=most, bars=bars)
    return newer.order_by()[:most].count()


def still_waiting(environment: Environment, *, bars: Sequence[Cancellation]) -> QuerySet[LiveRun]:
    """The runs that wait, without those that one of these bars calls off or reaches through a parent."""
    waiting = LiveRun.objects.within(environment.pk).filter(state=LiveState.WAITING)
    return waiting.exclude(reached(bars, environment=environment)) if bars else waiting


def tag_of(runs: Sequence[Run], chips: Sequence[Chip]) -> str:
    """Changes whenever a row or a count would look different."""
    return tag(
        [
            (run.pk, run.public_status, run.is_settling, run.is_held, run.due_at, live.position if live else "")
            for run in runs for live in [run.live_run if run.status is None else None]
        ],
        [(chip.status, chip.count) for chip in chips],
    )  # fmt: skip


def _definitions(runs: Sequence[Run]) -> Mapping[int, Definition]:
    """What each run follows, by its pk."""
    versions = dict(
        Version.objects.filter(pk__in={run.version_id for run in runs}).values_list("pk", "definition")
    )
    brought = dict(
        Invocation.objects.filter(
            pk__in={run.invocation_id for run in runs if run.version_id is None}
        ).values_list("pk", "definition")
    )
    of_version = {pk: parse(definition, strict=False) for pk, definition in versions.items()}
    of_invocation = {pk: parse(definition, strict=False) for pk, definition in brought.items()}
    return {
        run.pk: of_version[run.version_id] if run.version_id else of_invocation[run.invocation_id]
        for run in runs
    }


def _failures(failed: Iterable[Run]) -> dict[int, words.Failure | None]:
    """What ended each failed run, by its pk."""
    last = (
        Event.objects.filter(run__in=list(failed)).exclude(kind__in=AFTER_THE_END)
        .order_by().values("run_id").annotate(last=Max("pk")).values("last")
    )  # fmt: skip
    return {event.run_id: words.Failure.told_by(event) for event in Event.objects.filter(pk__in=last)}
