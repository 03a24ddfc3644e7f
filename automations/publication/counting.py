"""Counts beforehand what publishing, disabling or enabling an automation is about; changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from automations.cancellation import trees_to_hit
from automations.models import Automation, CancellationFilter, LiveState, Version, database_now

MOST_COUNTED = 10_000


@dataclass(frozen=True, kw_only=True)
class Impact:
    """Unfinished runs of an automation. Where there are more than were `counted`, the numbers are of the first ten
    thousand. `overdue` of those that wait were due before now; `by_version` is the newest first. `beneath` are runs of
    other automations that a cancel calls off with them, and nothing else concerns; up to as many."""

    waiting: int
    running: int
    overdue: int
    by_version: Sequence[tuple[int, int]]
    counted: bool
    beneath: int
    beneath_counted: bool


def impact(automation: Automation) -> Impact:
    """Of its runs that stand now and are called off by nobody."""
    scope = CancellationFilter(automation_id=automation.pk)
    runs, *below = trees_to_hit(automation.environment, scope)
    now = database_now()
    found = list(runs.values_list("state", "run__version", "due_at", "parked_due_at")[: MOST_COUNTED + 1])
    rows = found[:MOST_COUNTED]
    beneath = sum(live.order_by()[: MOST_COUNTED + 1].count() for live in below)
    states = Counter(state for state, *_ in rows)
    versions = Counter(version for _, version, *_ in rows)
    numbers = dict(Version.objects.filter(pk__in=versions).values_list("pk", "number"))
    late = [state for state, _, due, parked in rows if state == LiveState.WAITING and (parked or due) <= now]
    return Impact(
        waiting=states[LiveState.WAITING],
        running=states[LiveState.RUNNING],
        overdue=len(late),
        by_version=sorted(((numbers[pk], count) for pk, count in versions.items()), reverse=True),
        counted=len(found) <= MOST_COUNTED,
        beneath=min(beneath, MOST_COUNTED),
        beneath_counted=beneath <= MOST_COUNTED,
    )
