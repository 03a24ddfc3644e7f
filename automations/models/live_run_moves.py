"""The part of the one door that carries runs forward: what starts and ends them, as statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import connection

from automations.models.cancellation import moment_of, uid_text
from automations.models.kept import ANY_OF, Kept, array
from automations.models.live_run_bars import sought, suspicion
from automations.models.live_run_parking import not_held
from automations.models.statements import Statement, fetch

LATE_AFTER = timedelta(seconds=60)


class Claim(NamedTuple):
    """One started attempt: proof that the holder may carry out the run's step at `position`."""

    run_id: int
    uid: str
    invocation_id: int
    recipient: str | None
    environment_id: int
    position: str
    attempt: int
    fence: int
    due_at: datetime
    started_at: datetime
    parent_id: int | None
    automation_id: int | None
    source: str
    tenant: str | None
    token: str | None
    key: str | None


class Move(NamedTuple):
    """Where a held run goes: to wait at `position` until `due_at`, or, with a `status`, to its end."""

    run_id: int
    fence: int
    position: str
    due_at: datetime
    attempt: int = 0
    status: str | None = None
    status_reason: str = ""
    has_errors: bool = False

    @property
    def target(self) -> tuple[Any, ...]:
        """Moves with equal targets are written by one statement."""
        return (
            self.status or "",
            self.status_reason,
            self.has_errors,
            self.position,
            self.due_at,
            self.attempt,
        )


TARGET = attrgetter("target")
DUE_FIRST = attrgetter("due_at")

# Written out, as one statement carries a worker forward by up to 64 runs (docs/decisions/0003-raw-statements.md).
# MATERIALIZED: else a planner may look for the due rows once for every row, and start more than the limit.
# An array, where there are any: joined with `due`, a table of some thousand rows is read whole for each turn.
START = """
WITH due AS MATERIALIZED (
    SELECT run_id, {suspect} AS suspect FROM automations_liverun
    WHERE environment_id = %s AND state = 'waiting' AND {when} ORDER BY due_at LIMIT %s {lock}
)
UPDATE automations_liverun
SET state = 'running', fence = fence + 1, attempt = attempt + 1, lease_until = %s, started_at = %s, worker = %s
WHERE run_id {among} AND state = 'waiting'
RETURNING run_id, {uid}, invocation_id, recipient, position, attempt, fence, {due_at},
    parent_id, automation_id, source, tenant, token, key
"""
LOCK = "FOR UPDATE SKIP LOCKED"
# Without statistics (a young database) or with old ones PostgreSQL supposes that few runs are due, and sorts all that
# are for each turn: 130 µs a step in place of 28 where 20,000 are. The index on due_at has them in order.
SORTING = "SELECT set_config('enable_sort', %s, true)"
HOW = {
    "postgresql": {
        "lock": LOCK,
        # As they are taken soonest: Django reads a moment in Python, and psycopg makes an object of a UUID.
        "uid": "uid::text",
        "due_at": "EXTRACT(EPOCH FROM due_at)::float8",
        "among": "= ANY (ARRAY(SELECT run_id FROM due WHERE NOT suspect))",
    },
    "sqlite": {
        "lock": "",
        "uid": "uid",
        "due_at": "due_at",
        "among": "IN (SELECT run_id FROM due WHERE NOT suspect)",
    },
}
LOOKUPS = {"due_at <= %s": "due_at__lte", "due_at > %s": "due_at__gt"}
GONE = """
DELETE FROM automations_liverun WHERE fence = %s AND run_id {any_of} AND state = 'running' RETURNING run_id
"""
ENDED = """
UPDATE automations_run SET status = %s, status_reason = %s, has_errors = %s, finished_at = %s
WHERE id {any_of} AND status IS NULL RETURNING id
"""


def queues(*, limit: int, late: int | None, now: datetime) -> list[tuple[dict[str, datetime], int]]:
    """The due runs in the order in which they are started: each part's condition, and how many of it."""
    if late is None:
        return [({"due_at <= %s": now}, limit)]
    then = now - LATE_AFTER
    return [({"due_at <= %s": now, "due_at > %s": then}, limit), ({"due_at <= %s": then}, late)]


def claimed(
    environment_id: int,
    when: Mapping[str, datetime],
    *,
    among: set[int] | None = None,
    but_for: Sequence[str] = (),
    held: bool,
    room: int,
    now: datetime,
    lease: timedelta,
    worker: int | None,
) -> list[Claim]:
    """Starts at most `room` runs for which the conditions hold, `among` these where that is given; not those of
    automations that are `held`, where any is. Of the first `room` only those that cannot be under a bar with one of
    the labels `but_for`."""
    conditions, values = list(when), [at(moment) for moment in when.values()]
    if among is not None:
        conditions.append(f"run_id {ANY_OF[connection.vendor]}")
        values.append(array(among))
    if held:
        condition, more = not_held(environment_id)
        conditions.append(condition)
        values += more
    suspect, labels = suspicion(but_for) if but_for else ("FALSE", [])
    text = START.format(suspect=suspect, when=" AND ".join(conditions), **HOW[connection.vendor])
    start = Kept(text, [*labels, environment_id, *values, room, at(now + lease), at(now), worker])
    if among is None and connection.vendor == "postgresql":
        _, rows, _ = fetch([Kept(SORTING, ["off"]), start, Kept(SORTING, ["on"])])
    else:
        (rows,) = fetch([start])
    return [_claim(*row, environment_id=environment_id, now=now) for row in rows]


def _claim(
    run_id: int, uid: str, invocation_id: int, recipient: str | None, position: str, attempt: int, fence: int,
    due_at: Any, *labels: Any, environment_id: int, now: datetime,
) -> Claim:  # fmt: skip
    """From a row that START returns."""
    return Claim(
        run_id, uid_text(uid), invocation_id, recipient, environment_id, position, attempt, fence,
        moment_of(due_at), now, *labels,
    )  # fmt: skip


def suspects(claims: Sequence[Claim], labels: Sequence[str]) -> list[int]:
    """Which of these runs (primary keys) may be under a bar with one of the labels: all that are, and few others."""
    values = sought(labels)
    if values is None:
        return [claim.run_id for claim in claims]
    columns = [(attrgetter(name), frozenset(among)) for name, among in values.items()]
    return [
        claim.run_id
        for claim in claims
        if claim.parent_id is not None or any(column(claim) in among for column, among in columns)
    ]


def by_fence(held: Iterable[Claim | Move]) -> dict[int, list[int]]:
    """The primary keys of the runs, by the fence that each is held under."""
    fences: dict[int, list[int]] = {}
    for one in held:
        fences.setdefault(one.fence, []).append(one.run_id)
    return fences


def ending(moves: Iterable[Move], *, end: Sequence[Any]) -> list[Statement]:
    """The statements that take the live rows of these runs away, where they are held under their fences, and write
    `end` (status, reason, whether there were errors, when) into history: that one last."""
    any_of = ANY_OF[connection.vendor]
    fences = by_fence(moves)
    every = array(pk for pks in fences.values() for pk in pks)
    gone: list[Statement] = [
        Kept(GONE.format(any_of=any_of), [fence, array(pks)]) for fence, pks in fences.items()
    ]
    return [*gone, Kept(ENDED.format(any_of=any_of), [*end, every])]


def at(moment: datetime) -> Any:
    """A moment as a raw statement's parameter."""
    return connection.ops.adapt_datetimefield_value(moment)
