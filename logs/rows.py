"""Puts one page of runs together: what each row says, and the tag by which a poll knows the page unchanged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.core.cache import cache
from django.db.models import Max, QuerySet
from django.db.models.functions import Now

from automations.definition import Definition, parse_kept
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
    spared,
    standing,
)
from automations.models.run_search import CappedCount
from logs import words
from logs.search import Search
from logs.tags import tag

SIZE = 50
MOST_COUNTED = 10_000
MOST_COUNTED_NARROWED = 1_000  # filters cost a look at every row that is counted
MOST_SORTED = 500  # of what a filter finds, the newest, sorted by status
HERD = 10_000  # due runs: where more are due, those that run are looked for among the first
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
    """The page's runs, newest first; and where the next page begins, None on the last."""
    size = size or SIZE
    runs = runs if search.before is None else runs.bounded(pk__lt=search.before)
    if search.status:
        bars = list(standing(environment=environment))
        runs = runs.in_status(search.status, environment=environment, most=size + 1, bars=bars)
    found = list(Run.objects.filter(pk__in=_newest(runs, size + 1)).listed().newest_first())
    return found[:size], found[size - 1].pk if len(found) > size else None


def rows_of(runs: Sequence[Run], *, now: datetime) -> list[Row]:
    """The rows; two statements more for what the runs follow, one for what made some fail."""
    definitions = definitions_of(runs)
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
    """How many of the search's runs are in each status, kept for two seconds."""
    filters = replace(search, status="", before=None).address()  # what is odd stays: it finds nothing
    name = "chips-" + tag(environment.pk, filters)
    counts: Mapping[str, tuple[int, int]] | None = cache.get(name)
    if counts is None:
        counts = _sorted(runs) if filters else _counts(runs, environment, most=MOST_COUNTED)
        cache.set(name, counts, COUNTS_KEPT)
    order = ("waiting", "running", "failed", "cancelled", "completed", "skipped")
    return [
        Chip(status=status, label=RunStatus(status).label, count=count, most=most)
        for status in order
        for count, most in [counts[status]]
    ]


def _counts(runs: RunQuerySet, environment: Environment, *, most: int) -> Mapping[str, tuple[int, int]]:
    """By status, each counted up to one more than `most`; and `most`."""
    bars, herd = list(standing(environment=environment)), herd_of(environment)
    capped = {
        # Those of live rows without looking each of them up in Run.
        status: CappedCount(
            still(LiveState(status), environment=environment, bars=bars, herd=herd).values("pk")[: most + 1]
        )
        if status in (RunStatus.WAITING, RunStatus.RUNNING)
        else runs.count_in_status(status, environment=environment, most=most + 1, bars=bars)
        for status in RunStatus.values
    }
    found: Sequence[int] = Environment.objects.filter(pk=environment.pk).values_list(*capped.values()).get()
    return {
        status: least(count, most) if herd and status == RunStatus.RUNNING else (count, most)
        for status, count in zip(capped, found, strict=True)
    }


def _sorted(runs: RunQuerySet) -> Mapping[str, tuple[int, int]]:
    """By status, of the newest MOST_SORTED runs. Where there are more runs the numbers are the least there can be,
    and written as one more than they may be: to count each status would be to look at every run that has another.
    """
    found = list(Run.objects.filter(pk__in=_newest(runs, MOST_SORTED + 1)).standings().newest_first())
    counts = Counter(run.public_status for run in found[:MOST_SORTED])
    are_more = len(found) > MOST_SORTED
    return {
        status: (counts[status] + are_more, counts[status] if are_more else MOST_SORTED)
        for status in RunStatus.values
    }


def _newest(runs: RunQuerySet, most: int) -> list[int]:
    """The primary keys of the newest, in a statement of its own: a planner that sees a list's joins beside the filters
    may read all runs, and the list is read twice where bars stand. How each stands is then read in one statement."""
    return list(runs.newest_first().values_list("pk", flat=True)[:most])


def count_newer(search: Search, *, runs: RunQuerySet, environment: Environment, since: int) -> int:
    """How many of the search's runs have a higher primary key, counted up to one more than MOST_COUNTED_NARROWED."""
    newer, most = runs.bounded(pk__gt=since), MOST_COUNTED_NARROWED + 1
    if search.status:
        bars = list(standing(environment=environment))
        newer = newer.in_status(search.status, environment=environment, most=most, bars=bars)
    return newer.order_by()[:most].count()


def herd_of(environment: Environment) -> datetime | None:
    """Where more than HERD runs are due, as when no worker was there for a while: when the last of the first HERD was
    due (UTC). Otherwise None."""
    due = LiveRun.objects.within(environment.pk).filter(due_at__lte=Now()).order_by("due_at")
    return due.values_list("due_at", flat=True)[HERD : HERD + 1].first()


def least(count: int, most: int) -> tuple[int, int]:
    """A count up to one more than `most`, and `most`, such that it says that there may be more of a herd; not of
    none, since what is due first is started first."""
    return (count + 1, count) if 0 < count <= most else (count, most)


def still(
    state: LiveState, *, environment: Environment, bars: Sequence[Cancellation], herd: datetime | None = None
) -> QuerySet[LiveRun]:
    """The runs that wait, or that run, without those that one of these bars calls off or reaches through a parent. Of a
    `herd` (see `herd_of`) those that run are looked for among the first."""
    rows = LiveRun.objects.within(environment.pk).filter(state=state)
    if state == LiveState.RUNNING:  # due by construction
        rows = rows.filter(due_at__lte=herd or Now())
    found: QuerySet[LiveRun] = spared(rows, bars=bars, environment=environment)
    return found


def tag_of(runs: Sequence[Run], chips: Sequence[Chip]) -> str:
    """Changes whenever a row or a count would look different."""
    return tag(
        [
            (run.pk, run.public_status, run.is_settling, run.is_held, run.due_at, live.position if live else "")
            for run in runs for live in [run.live_run if run.status is None else None]
        ],
        [(chip.status, chip.count) for chip in chips],
    )  # fmt: skip


def definitions_of(runs: Sequence[Run]) -> Mapping[int, Definition]:
    """What each run follows, by its pk, in two statements."""
    versions = dict(
        Version.objects.filter(pk__in={run.version_id for run in runs}).values_list("pk", "definition")
    )
    brought = dict(
        Invocation.objects.filter(
            pk__in={run.invocation_id for run in runs if run.version_id is None}
        ).values_list("pk", "definition")
    )
    of_version = {pk: parse_kept(definition) for pk, definition in versions.items()}
    of_invocation = {pk: parse_kept(definition) for pk, definition in brought.items()}
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
