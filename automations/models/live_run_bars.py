"""The part of the one door that calls runs off: at once those named, and those under a bar as they are met.

Every transition first gives the barred runs among those it holds to the oldest bar over them. Else two cancels
would report one run, or a run taken back would end as failed after readers were shown that it is cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import models

from automations.models.cancellation import Cancellation, uid_parameter, uid_text
from automations.models.cancellation_filter import CancellationFilter
from automations.models.descent import children_exist
from automations.models.statements import Rows, Statement, fetch
from automations.testpoints import testpoint

if TYPE_CHECKING:
    from automations.models.live_run import LiveRun  # noqa: F401  (of the base class below)

Cancelled = tuple[int, str, str]
"""A run that a cancel moved: primary key, public id, new state."""

CANCEL = """
UPDATE automations_liverun
SET state = CASE WHEN state = 'waiting' AND unsettled IS NULL THEN 'cancelled' ELSE 'cancelling' END,
    cancellation_id = %s
WHERE environment_id = %s AND {where} AND state IN ({states})
RETURNING run_id, uid, state
"""
# The bars over some runs. A run is under a bar by one equality, which an index is probed for; the rest of the
# bar's filter is checked by the statement that moves the run.
BARS = """
SELECT DISTINCT c.id, c.as_of
FROM automations_liverun l JOIN automations_cancellation c ON c.environment_id = l.environment_id
 AND c.swept_at IS NULL AND l.run_id <= c.as_of_run AND c.bar IN (
    'all', 'label:' || l.token, 'label:' || l.key, 'key:' || l.key, 'recipient:' || l.recipient,
    'invocation:' || l.invocation_id, 'source:' || l.source, 'automation:' || l.automation_id
 )
WHERE l.run_id IN ({marks}) AND l.state IN ('waiting', 'running')
ORDER BY c.as_of, c.id
"""
ABOVE = "SELECT ancestor_id FROM automations_descent WHERE run_id IN ({marks})"
BELOW = "SELECT run_id FROM automations_descent WHERE ancestor_id IN ({marks})"
DESCENDED_AT_ONCE = 5_000
NEXT = """
run_id IN (
    SELECT run_id FROM automations_liverun
    WHERE environment_id = %s AND {where} AND state IN ({states}) AND run_id > %s ORDER BY run_id LIMIT %s
)"""


COUNT = """
SELECT count(*) FROM (
    SELECT 1 FROM automations_liverun WHERE environment_id = %s AND {where} AND state IN ({states}) LIMIT %s
) matching
"""


ACTIVE = "'waiting', 'running'"


def _named(states: Sequence[str]) -> str:
    """Our own words, as a list of SQL's."""
    return ", ".join(f"'{state}'" for state in states)


def counting(scope: CancellationFilter, *, environment_id: int, most: int) -> Statement:
    """The statement that counts the unfinished runs that the scope matches, up to `most`."""
    where, values = scope.where()
    return COUNT.format(where=where, states=_named(scope.states)), [environment_id, *values, most]


def cancelling(cancellation: Cancellation, scope: CancellationFilter, *more: Statement) -> Statement:
    """The UPDATE that gives what the scope, and `more` conditions, match to the cancellation."""
    where, values = scope.where()
    text = " AND ".join([where, *(condition for condition, _ in more)])
    given = [uid_parameter(cancellation.pk), cancellation.environment_id, *values]
    return CANCEL.format(where=text, states=_named(scope.states)), [
        *given, *(value for _, further in more for value in further),
    ]  # fmt: skip


def moved_of(rows: Rows) -> list[Cancelled]:
    """What such an UPDATE returned."""
    return [(pk, uid_text(uid), state) for pk, uid, state in rows]


class BarredRuns(models.QuerySet["LiveRun"]):
    """What bars do to unfinished runs, and what goes with a run that is called off."""

    def descend(self, moved: Sequence[Cancelled], *, cancellation: Cancellation) -> list[Cancelled]:
        """Gives the same cancellation everything beneath the runs that it has just moved; what that was.

        A statement of its own: a child that was born while the first one waited for its parent's row is there by
        now. Until nothing is found: a child whose row this one waits for may bear another meanwhile.
        """
        found: list[Cancelled] = []
        for start in range(0, len(moved), DESCENDED_AT_ONCE):
            pks = [pk for pk, *_ in moved[start : start + DESCENDED_AT_ONCE]]
            text = CANCEL.format(where=f"run_id IN ({BELOW.format(marks=_marks(pks))})", states=ACTIVE)
            given = [uid_parameter(cancellation.pk), cancellation.environment_id, *pks]
            testpoint("descend.begins")
            while rows := fetch([(text, given)])[0]:
                found += moved_of(rows)
        return found

    def give_to_bars(self, pks: Sequence[int]) -> set[int]:
        """Gives those of these runs that are under a bar, themselves or through a run above them, to the oldest bar
        over each, with all beneath them; which they were."""
        if not pks:
            return set()
        found, above, below = fetch([_over(pks, text) for text in (BARS, ABOVE, BELOW)])
        if above or below:
            pks = _family(pks, above, below)
            (found,) = fetch([_over(pks, BARS)])
        bars = Cancellation.objects.in_bulk([uid for uid, _ in found])
        given: set[int] = set()
        for bar in sorted(bars.values(), key=lambda bar: (bar.as_of, bar.pk)):
            held = (f"run_id IN ({_marks(pks)})", list(pks))
            asked = children_exist(bar.environment_id)
            rows, ((has_children,),) = fetch([cancelling(bar, bar.scope, held), asked])
            moved = moved_of(rows)
            if has_children:
                moved += self.descend(moved, cancellation=bar)
            given.update(pk for pk, _, _ in moved)
        return given

    def sweep(self, bar: Cancellation, *, limit: int) -> int:
        """Gives the bar at most `limit` more of the runs under it, in the order of their keys, with all beneath them,
        and notes how far it came; the number given, those beneath not counted. Fewer than `limit` are the last."""
        scope = bar.scope
        where, values = scope.where()
        sought = [bar.environment_id, *values, bar.swept_to, limit]
        following = (NEXT.format(where=where, states=_named(scope.states)), sought)
        asked = children_exist(bar.environment_id)
        rows, ((has_children,),) = fetch([cancelling(bar, scope, following), asked])
        bar.swept_to = max((pk for pk, _, _ in rows), default=bar.swept_to)
        if has_children:
            self.descend(moved_of(rows), cancellation=bar)
        return len(rows)


def _family(pks: Sequence[int], above: Rows, below: Rows) -> list[int]:
    """The runs with all above them and all beneath those: one of them may be under an older bar of its own."""
    found = {pk for (pk,) in (*above, *below)}
    if above:
        (further,) = fetch([_over([pk for (pk,) in above], BELOW)])
        found |= {pk for (pk,) in further}
    return sorted({*pks, *found})


def _over(pks: Sequence[int], text: str) -> Statement:
    return text.format(marks=_marks(pks)), list(pks)


def _marks(pks: Sequence[int]) -> str:
    return ", ".join(["%s"] * len(pks))
