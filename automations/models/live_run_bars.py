"""The part of the one door that calls runs off: at once those named, and those under a bar as they are met.

Every transition first gives the barred runs among those it holds to the oldest bar over them. Else two cancels
would report one run, or a run taken back would end as failed after readers were shown that it is cancelled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from uuid import UUID

from django.db import connection, models

from automations.models.cancellation import Cancellation, uid_parameter
from automations.models.cancellation_filter import CancellationFilter
from automations.models.descent import children_exist
from automations.models.kept import AMONG, Kept, array, text_array
from automations.models.statements import Rows, Statement, execute, fetch
from automations.testpoints import testpoint

if TYPE_CHECKING:
    from automations.models.live_run import LiveRun  # noqa: F401  (of the base class below)

Cancelled: TypeAlias = tuple[Any, ...]
"""A run that a cancel moved: primary key, public id as the database has it (`uid_text` makes it a text), new state."""


class Hit(NamedTuple):
    """What a cancel found: the runs `moved`; how many matched that had ended or been called off before, counted up to
    COUNTED_FINISHED + 1; the primary keys of those among them of which a step is still to end; and the moment, behind
    every start that the cancel has waited for."""

    moved: list[Cancelled]
    finished: int
    settling: list[int]
    at: datetime


CANCEL = """
UPDATE automations_liverun
SET state = CASE WHEN state = 'waiting' AND unsettled IS NULL THEN 'cancelled' ELSE 'cancelling' END,
    cancellation_id = %s
WHERE environment_id = %s AND {where} AND state IN ({states})
"""
MOVED = "RETURNING run_id, uid, state"
# The bars over some runs. A run is under a bar by one equality, which an index is probed for; the rest of the
# bar's filter is checked by the statement that moves the run. On PostgreSQL each label is probed for once, and
# OFFSET 0 keeps the planner from comparing every run with every bar, which it prefers while it believes that
# few bars stand: it may not have heard of them yet (docs/decisions/0013-what-no-index-finds.md).
BARS = {
    "postgresql": """
WITH labels AS MATERIALIZED (
    SELECT l.environment_id, label.bar, min(l.run_id) AS run_id
    FROM automations_liverun l CROSS JOIN LATERAL (VALUES
        ('all'), ('label:' || l.token), ('label:' || l.key), ('key:' || l.key), ('recipient:' || l.recipient),
        ('invocation:' || l.invocation_id), ('source:' || l.source), ('tenant:' || l.tenant),
        ('automation:' || l.automation_id)
    ) AS label(bar)
    WHERE l.run_id IN ({marks}) AND l.state IN ('waiting', 'running') AND label.bar IS NOT NULL
    GROUP BY l.environment_id, label.bar
)
SELECT DISTINCT bar.id, bar.as_of FROM labels CROSS JOIN LATERAL (
    SELECT c.id, c.as_of FROM automations_cancellation c
    WHERE c.environment_id = labels.environment_id AND c.bar = labels.bar AND c.swept_at IS NULL
      AND c.as_of_run >= labels.run_id
    OFFSET 0
) AS bar
ORDER BY bar.as_of, bar.id
""",
    "sqlite": """
SELECT DISTINCT c.id, c.as_of
FROM automations_liverun l JOIN automations_cancellation c ON c.environment_id = l.environment_id
 AND c.swept_at IS NULL AND l.run_id <= c.as_of_run AND c.bar IN (
    'all', 'label:' || l.token, 'label:' || l.key, 'key:' || l.key, 'recipient:' || l.recipient,
    'invocation:' || l.invocation_id, 'source:' || l.source, 'tenant:' || l.tenant,
    'automation:' || l.automation_id
 )
WHERE l.run_id IN ({marks}) AND l.state IN ('waiting', 'running')
ORDER BY c.as_of, c.id
""",
}
LABELS = """
SELECT bar FROM automations_cancellation WHERE environment_id = %s AND bar > '' AND swept_at IS NULL LIMIT %s
"""
MOST_LABELS = 1_000
_COLUMNS = {
    "label": ("token", "key"), "key": ("key",), "recipient": ("recipient",), "invocation": ("invocation_id",),
    "source": ("source",), "tenant": ("tenant",), "automation": ("automation_id",),
}  # fmt: skip
LAST_OF_CHUNK = """
SELECT run_id FROM automations_liverun
WHERE environment_id = %s AND {where} AND state IN ({states}) AND run_id > %s ORDER BY run_id LIMIT 1 OFFSET %s
"""
LEFT_AND_GIVEN = """
SELECT count(*) FILTER (WHERE state IN ({states})), count(*) FILTER (WHERE cancellation_id = %s)
FROM automations_liverun WHERE environment_id = %s AND {where}
"""
GIVEN_BENEATH = """
SELECT count(*) FROM automations_liverun
WHERE environment_id = %s AND parent_id IS NOT NULL AND cancellation_id = %s AND CASE WHEN {where} THEN 0 ELSE 1 END = 1
"""
ABOVE = "SELECT ancestor_id FROM automations_descent WHERE run_id IN ({marks})"
BELOW = "SELECT run_id FROM automations_descent WHERE ancestor_id IN ({marks})"
LEFT_BELOW = (
    "SELECT EXISTS (SELECT 1 FROM automations_liverun WHERE run_id IN ({below}) AND state IN ({states}))"
)
PARENTS = "SELECT EXISTS (SELECT 1 FROM automations_descent WHERE ancestor_id > %s AND ancestor_id <= %s)"
DESCENDED_AT_ONCE = 5_000
# Whether the archived runs of an undone cancellation are being brought back at the moment.
RESTORING = """
SELECT EXISTS (SELECT 1 FROM automations_cancellation
 WHERE environment_id = %s AND undone_at > '1970-01-01' AND restored_at IS NULL)
"""
# In whatever state at first, which takes no more than an index.
COUNT = """
{restoring}, CASE WHEN (SELECT count(*) FROM ({live} LIMIT %s) live) < %s THEN 0
 ELSE (SELECT count(*) FROM ({matching} LIMIT %s) matching) END
"""
LIVE = "SELECT 1 FROM automations_liverun WHERE environment_id = %s AND {where}"
MATCHING = LIVE + " AND state IN ({states})"
FINISHED = "SELECT count(*) FROM ({matching} LIMIT %s) finished"
RUNS = "SELECT 1 FROM automations_run WHERE environment_id = %s AND {where}"
ARCHIVED = RUNS + " AND status IS NOT NULL"
# Right behind the UPDATE on SQLite, where nothing comes between: whatever matches has been moved by it, or was none of
# its runs any more.
NOT_MOVED = "SELECT count(*) - changes() FROM ({runs} LIMIT %s + changes()) runs"
CALLED_OFF = """
SELECT 1 FROM automations_liverun
WHERE environment_id = %s AND {where} AND cancellation_id IS NOT NULL AND cancellation_id <> %s
"""
SETTLING = """
SELECT run_id FROM automations_liverun
WHERE environment_id = %s AND {where} AND state = 'cancelling' AND cancellation_id <> %s
"""
SETTLING_BENEATH = """
SELECT d.run_id FROM automations_descent d JOIN automations_liverun l ON l.run_id = d.run_id
WHERE d.ancestor_id IN (SELECT run_id FROM automations_liverun WHERE environment_id = %s AND {where})
  AND l.state = 'cancelling' AND l.cancellation_id <> %s
"""
COUNTED_FINISHED = 10_000
NOBODY = UUID(int=0)
ACTIVE = "'waiting', 'running'"


def _named(states: Sequence[str]) -> str:
    """Our own words, as a list of SQL's."""
    return ", ".join(f"'{state}'" for state in states)


def counting(scope: CancellationFilter, *, environment_id: int, most: int) -> Statement:
    """The statement that counts the unfinished runs that the scope matches, up to `most`, 0 where they are fewer; and
    says first whether an undo is bringing runs back, which are not there yet."""
    found = [scope.where(label=label) for label in scope.labels]
    live, values = _either([(LIVE.format(where=text), [environment_id, *given]) for text, given in found])
    matching, _ = _either(
        [(MATCHING.format(where=text, states=_named(scope.states)), ()) for text, _ in found]
    )
    text = COUNT.format(restoring=RESTORING.rstrip(), live=live, matching=matching)
    return _planned(scope, text, [environment_id, *values, most, most, *values, most])


def restoring(environment_id: int) -> Statement:
    """The statement that says only the latter."""
    return Kept(RESTORING, [environment_id])


def is_restoring(environment_id: int) -> bool:
    """Its answer."""
    (((found,),),) = fetch([restoring(environment_id)])
    return bool(found)


def _either(parts: Sequence[tuple[str, Sequence[Any]]]) -> tuple[str, list[Any]]:
    """The rows of all these."""
    return " UNION ALL ".join(text for text, _ in parts), [value for _, given in parts for value in given]


def _planned(scope: CancellationFilter, text: str, values: Sequence[Any]) -> Statement:
    """A statement about that scope."""
    return Kept(text, values) if scope.is_plain else (text, values)


def bars_over(pks: Sequence[int]) -> Statement:
    """The statement that finds the bars that stand over some of these runs: id and moment, oldest first."""
    return BARS[connection.vendor].format(marks=_marks(pks)), list(pks)


def labels_of_bars(environment_id: int) -> Statement:
    """The statement that finds the labels of the bars that stand, a few more than `suspicion` looks at."""
    return Kept(LABELS, [environment_id, MOST_LABELS + 1])


def sought(labels: Sequence[str]) -> Mapping[str, list[Any]] | None:
    """What a run has in one of these columns at least, or a parent, that is under a bar with one of these labels; few
    others have. None where it may be any run. Workers look at it first: it is much cheaper than to know
    (docs/decisions/0023-suspects.md). The columns never change."""
    values = defaultdict[str, list[Any]](list)
    for label in labels:
        kind, _, value = label.partition(":")
        if kind not in _COLUMNS or len(labels) > MOST_LABELS:
            return None
        for column in _COLUMNS[kind]:
            values[column].append(int(value) if column.endswith("_id") else value)
    return values


def suspicion(labels: Sequence[str]) -> Statement:
    """The same as a condition."""
    values = sought(labels)
    if values is None:
        return "1 = 1", []
    parts, given = ["parent_id IS NOT NULL"], []  # a child may be under the bar over its parent
    for name, wanted in sorted(values.items()):
        is_key = name.endswith("_id")
        among = AMONG[connection.vendor].format(kind="bigint" if is_key else "text")
        parts.append(f"COALESCE({name} {among}, FALSE)")
        given.append(array(wanted) if is_key else text_array(wanted))
    return f"({' OR '.join(parts)})", given


def counting_finished(cancellation: Cancellation, scope: CancellationFilter) -> Statement:
    """The same of what ended or was called off before this cancellation, right behind the UPDATE of `cancelling`."""
    here = cancellation.environment_id
    if connection.vendor == "sqlite" and scope.is_plain:
        archived = [scope.where_archived(label=label) for label in scope.labels]
        text, values = _either([(RUNS.format(where=where), [here, *given]) for where, given in archived])
        return NOT_MOVED.format(runs=text), [*values, COUNTED_FINISHED + 1]
    return counting_ended(scope, environment_id=here, but_by=cancellation.pk)


def counting_ended(scope: CancellationFilter, *, environment_id: int, but_by: UUID = NOBODY) -> Statement:
    """The statement that counts, up to COUNTED_FINISHED + 1, the runs that the scope matches and that have ended or
    been called off, but by this cancellation."""
    archived = [scope.where_archived(label=label) for label in scope.labels]
    live = [scope.where(label=label) for label in scope.labels]
    other = uid_parameter(but_by)
    text, values = _either([
        *((ARCHIVED.format(where=where), [environment_id, *given]) for where, given in archived),
        *((CALLED_OFF.format(where=where), [environment_id, *given, other]) for where, given in live),
    ])  # fmt: skip
    return _planned(scope, FINISHED.format(matching=text), [*values, COUNTED_FINISHED + 1])


def settling(cancellation: Cancellation, scope: CancellationFilter, *, beneath: bool) -> list[int]:
    """The primary keys of the runs that the scope reaches and that another cancel has called off, of which a step may
    still be in flight; `beneath` says that there are children to look at."""
    where, values = scope.where()
    given = [cancellation.environment_id, *values, uid_parameter(cancellation.pk)]
    texts = [SETTLING, SETTLING_BENEATH] if beneath else [SETTLING]
    found = fetch([_planned(scope, text.format(where=where), given) for text in texts])
    return sorted({pk for rows in found for (pk,) in rows})


def cancelling(cancellation: Cancellation, scope: CancellationFilter, *more: Statement) -> Statement:
    """The UPDATE that gives what the scope, and `more` conditions, match to the cancellation; MOVED asks it which."""
    where, values = scope.where()
    text = " AND ".join([where, *(condition for condition, _ in more)])
    given = [uid_parameter(cancellation.pk), cancellation.environment_id, *values]
    update = CANCEL.format(where=text, states=_named(scope.states))
    if not more:
        return _planned(scope, update, given)
    return update, [*given, *(value for _, further in more for value in further)]


def returning(statement: Statement) -> Statement:
    """The same UPDATE, which tells what it moved."""
    text, values = statement
    return Kept(text + MOVED, values) if isinstance(statement, Kept) else (text + MOVED, values)


def chunk_of(bar: Cancellation, *, limit: int) -> Statement:
    """The statement that finds the last of the next `limit` runs to sweep; nothing, where fewer are left."""
    where, values = bar.scope.where()
    text = LAST_OF_CHUNK.format(where=where, states=_named(bar.scope.states))
    return _by_key(bar, (text, [bar.environment_id, *values, bar.swept_to, limit - 1]))


def sweeping(bar: Cancellation, *, to: int) -> Statement:
    """The UPDATE that gives the bar its runs from where it was swept to, up to that key."""
    within = ("run_id > %s AND run_id <= %s", [bar.swept_to, to])
    return _by_key(bar, cancelling(bar, bar.scope, within))


def _by_key(bar: Cancellation, statement: Statement) -> Statement:
    """On SQLite, which would look through all of the bar's runs for each chunk after the first, by the keys alone:
    a CASE hides the other indexes."""
    text, values = statement
    if connection.vendor == "sqlite" and bar.swept_to:
        where, _ = bar.scope.where()
        text = text.replace(where, f"CASE WHEN {where} THEN 1 ELSE 0 END = 1", 1)
    return text, values


class BarredRuns(models.QuerySet["LiveRun"]):
    """What bars do to unfinished runs, and what goes with a run that is called off."""

    def descend(self, moved: Sequence[Cancelled], *, cancellation: Cancellation) -> list[Cancelled]:
        """Gives the same cancellation everything beneath the runs that it has just moved; what that was.

        A statement of its own: a child that was born while the first one waited for its parent's row is there by
        now. Until a later one sees nothing: a child whose row this one waits for may bear another and be gone, so that
        it moves none and still leaves one.
        """
        found: list[Cancelled] = []
        for start in range(0, len(moved), DESCENDED_AT_ONCE):
            pks = [pk for pk, *_ in moved[start : start + DESCENDED_AT_ONCE]]
            below = BELOW.format(marks=_marks(pks))
            text = CANCEL.format(where=f"run_id IN ({below})", states=ACTIVE)
            given = [uid_parameter(cancellation.pk), cancellation.environment_id, *pks]
            look = (LEFT_BELOW.format(below=below, states=ACTIVE), pks)
            testpoint("descend.begins")
            while fetch([look])[0][0][0]:
                testpoint("descend.seen")
                found += fetch([returning((text, given))])[0]
        return found

    def give_to_bars(self, pks: Sequence[int]) -> set[int]:
        """Gives those of these runs that are under a bar, themselves or through a run above them, to the oldest bar
        over each, with all beneath them; which they were."""
        if not pks:
            return set()
        found, above, below = fetch([bars_over(pks), _of(pks, ABOVE), _of(pks, BELOW)])
        if above or below:
            pks = _family(pks, above, below)
            (found,) = fetch([bars_over(pks)])
        bars = Cancellation.objects.in_bulk([uid for uid, _ in found])
        given: set[int] = set()
        for bar in sorted(bars.values(), key=lambda bar: (bar.as_of, bar.pk)):
            held = (f"run_id IN ({_marks(pks)})", list(pks))
            moved = self._give(bar, cancelling(bar, bar.scope, held))
            given.update(pk for pk, _, _ in moved)
        return given

    def _give(self, bar: Cancellation, statement: Statement) -> list[Cancelled]:
        """What that UPDATE gives to the bar, with all beneath."""
        moved, ((has_children,),) = fetch([returning(statement), children_exist(bar.environment_id)])
        return moved + self.descend(moved, cancellation=bar) if has_children else moved

    def sweep(self, bar: Cancellation, *, limit: int) -> int:
        """Gives the bar at most `limit` more of the runs under it, with all beneath them, and moves its `swept_to` on,
        at last to its `as_of_run`; the number given, those beneath included.

        The UPDATE has a range of keys and not a list. Where there are no children it returns no rows: that is what
        a bare UPDATE costs, also for those of the runs that are nobody's parents. Nothing under a bar bears any, so it
        is enough to have asked before.
        """
        found, ((has_children,),) = fetch([chunk_of(bar, limit=limit), children_exist(bar.environment_id)])
        last = int(found[0][0] if found else bar.as_of_run or 0)
        if has_children:
            ((has_children,),) = fetch([(PARENTS, [bar.swept_to, last])])[0]
        statement = sweeping(bar, to=last)
        given = len(self._give(bar, statement)) if has_children else execute(statement)
        bar.swept_to = last
        return given

    def under(self, bar: Cancellation) -> tuple[int, int]:
        """How many runs the bar is still for, those beneath them not counted, and how many unfinished rows it has been
        given: these with all beneath, since a run is given with them."""
        scope, name = bar.scope, uid_parameter(bar.pk)
        where, values = scope.where()
        look = LEFT_AND_GIVEN.format(where=where, states=_named(scope.states))
        beneath = GIVEN_BENEATH.format(where=where)
        ((left, given),), ((further,),) = fetch([
            (look, [name, bar.environment_id, *values]), (beneath, [bar.environment_id, name, *values]),
        ])  # fmt: skip
        return left, given + further


def _family(pks: Sequence[int], above: Rows, below: Rows) -> list[int]:
    """The runs with all above them and all beneath those: one of them may be under an older bar of its own."""
    found = {pk for (pk,) in (*above, *below)}
    if above:
        (further,) = fetch([_of([pk for (pk,) in above], BELOW)])
        found |= {pk for (pk,) in further}
    return sorted({*pks, *found})


def _of(pks: Sequence[int], text: str) -> Statement:
    return text.format(marks=_marks(pks)), list(pks)


def _marks(pks: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(pks))
