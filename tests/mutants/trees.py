"""Trees as they are written at first: a late child escapes, or a run waits for one that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from automations.execution import Done, work
from automations.models import (
    Cancellation,
    CancellationFilter,
    Descent,
    LiveRun,
    Passage,
    live_run_bars,
    statements,
)
from automations.models.live_run import LiveRunQuerySet
from automations.models.live_run_bars import Cancelled, Hit
from automations.steps import invoke
from tests.mutants.mutant import mutant, swap


@mutant()
def child_is_born_whatever_became_of_its_parent() -> None:
    """A record step writes only if its own run was moved: else a cancelled parent still bears a child."""
    real = work._sorted

    def carried_out(done: Sequence[Done]) -> tuple[list[Done], list[Done], list[Done]]:
        moving, stopping, late = real(done)
        for item in (*stopping, *late):
            invoke.bear(item.births, passage=Passage(item.task.now(), barred=False))
        return moving, stopping, late

    swap(work, "_sorted", carried_out)


@mutant(only="postgresql")
def tree_is_read_with_its_top() -> None:
    """Never one snapshot for parent and children: a child born while the cancel waits for its parent escapes."""
    cancel, descend = LiveRunQuerySet.cancel, LiveRunQuerySet.descend
    known: dict[Any, set[int]] = {}

    def first_read(self: LiveRunQuerySet, *, cancellation: Cancellation, scope: CancellationFilter) -> Hit:
        known[cancellation.pk] = set(Descent.objects.values_list("run_id", flat=True))
        return cancel(self, cancellation=cancellation, scope=scope)

    def only_those(
        self: LiveRunQuerySet, moved: Sequence[Cancelled], *, cancellation: Cancellation
    ) -> list[Cancelled]:
        found = descend(self, moved, cancellation=cancellation)
        read = known.get(cancellation.pk)
        escaped = [] if read is None else [pk for pk, *_ in found if pk not in read]
        LiveRun.objects.filter(pk__in=escaped).update(state="waiting", cancellation=None)
        return [one for one in found if one[0] not in escaped]

    swap(LiveRunQuerySet, "cancel", first_read)
    swap(LiveRunQuerySet, "descend", only_those)


@mutant(only="postgresql")
def tree_is_walked_once() -> None:
    """Until nothing is seen: a child whose row the walk waits for may bear another meanwhile."""
    real = statements.fetch
    walked: set[Any] = set()

    def once(asked: Sequence[Any]) -> Any:
        text, given = asked[0]
        if not text.startswith("SELECT EXISTS (SELECT 1 FROM automations_liverun WHERE run_id IN"):
            return real(asked)
        if tuple(given) in walked:
            return [[(False,)]]
        walked.add(tuple(given))
        return real(asked)

    swap(live_run_bars, "fetch", once)


@mutant(only="postgresql")
def tree_is_walked_until_nothing_moves() -> None:
    """A child that ends with the birth of another leaves nothing to move, and one that was not there to be seen."""
    real = statements.fetch
    moved: list[bool] = []

    def by_what_moved(asked: Sequence[Any]) -> Any:
        text, _ = asked[0]
        if text.startswith("SELECT EXISTS (SELECT 1 FROM automations_liverun WHERE run_id IN"):
            if moved and not moved.pop():
                return [[(False,)]]
            return real(asked)
        found = real(asked)
        if len(asked) == 1 and "automations_descent" in text and text.strip().startswith("UPDATE"):
            moved[:] = [bool(found[0])]
        return found

    swap(live_run_bars, "fetch", by_what_moved)


@mutant()
def tree_is_walked_over_unfinished_runs() -> None:
    """A run in the middle that has ended does not cut the tree."""
    walk = """
WITH RECURSIVE tree AS (
    SELECT run_id FROM automations_liverun WHERE parent_id IN ({marks})
    UNION SELECT l.run_id FROM automations_liverun l JOIN tree ON l.parent_id = tree.run_id
) SELECT run_id FROM tree
"""
    swap(live_run_bars, "BELOW", walk)


@mutant()
def bar_is_not_looked_for_above() -> None:
    """A child is under the bars of the runs above it: else it starts after its parent was called off."""
    swap(live_run_bars, "ABOVE", live_run_bars.ABOVE + " AND 1 = 0")


@mutant()
def the_end_of_a_child_wakes_nobody() -> None:
    """Whatever ends a child makes the run due that waits for it, in the same transaction."""

    def wake(self: LiveRunQuerySet, waiting: Sequence[Any], ended: Sequence[Any], *, now: datetime) -> int:
        return 0

    swap(LiveRunQuerySet, "wake", wake)
