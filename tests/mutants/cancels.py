"""Cancels as they are written at first: each overlooks a run, reports one twice, or keeps a step to itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import connection

from automations.cancellation import receipt
from automations.models import (
    Cancellation,
    LiveRun,
    Run,
    database_now,
    live_run,
    live_run_bars,
    statements,
)
from automations.models.live_run import LiveRunQuerySet
from tests.mutants.mutant import mutant, swap

BOTH_STATES = "state IN ('waiting', 'running')"


def edit(old: str, new: str) -> None:
    """Changes the statement that cancels."""
    statement = live_run_bars.CANCEL
    assert old in statement, f"the statement no longer says {old!r}: the mutant is out of date"
    swap(live_run_bars, "CANCEL", statement.replace(old, new))


@mutant(only="postgresql")
def cancel_checks_the_state_in_a_subquery() -> None:
    """The state condition stands on the outermost WHERE: PostgreSQL checks no other again after a lock wait."""
    edit("WHERE ", "WHERE run_id IN (SELECT run_id FROM automations_liverun WHERE ")
    edit("state IN ({states})", "state IN ({states}))")


@mutant()
def cancel_overwrites_a_cancel() -> None:
    """I5: a run is reported by the one cancel that moved it, so one that is cancelled is not moved again."""
    edit(" AND state IN ({states})", "")


@mutant()
def cancel_forgets_attempts_taken_back() -> None:
    """I1: an attempt whose lease ran out may still send; until it is settled, it is in flight."""
    edit("state = 'waiting' AND unsettled IS NULL", "state = 'waiting'")


Move = Callable[[Any, str, list[Any]], list[Any]]


def rewritten(move: Move) -> None:
    """Cancels by `move(cursor, statement, its parameters)`, which gives the rows it moved."""
    real = statements.fetch

    def fetch(asked: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        (statement, values), *others = asked
        if BOTH_STATES not in statement:
            return real(asked)
        with connection.cursor() as cursor:
            moved = move(cursor, statement, list(values))
        return [moved, *real(others)]

    swap(live_run, "fetch", fetch)


@mutant(only="postgresql")
def cancel_reads_then_writes() -> None:
    """N1, I5: what is waiting or running is read, then written by its id; so two cancels report one run."""

    def move(cursor: Any, statement: str, values: list[Any]) -> list[Any]:
        change, _, rest = statement.partition("WHERE ")
        condition, _, answer = rest.partition("RETURNING ")
        cursor.execute(f"SELECT run_id FROM automations_liverun WHERE {condition}", values[1:])
        pks = [pk for (pk,) in cursor.fetchall()]
        cursor.execute(f"{change} WHERE run_id = ANY(%s) RETURNING {answer}", [values[0], pks])
        return list(cursor.fetchall())

    rewritten(move)


@mutant(only="postgresql")
def cancel_writes_one_state_after_the_other() -> None:
    """One UPDATE over both states: between two, a run passes from the second one's state to the first one's."""

    def move(cursor: Any, statement: str, values: list[Any]) -> list[Any]:
        moved = []
        for state in ("waiting", "running"):
            cursor.execute(statement.replace(BOTH_STATES, f"state = '{state}'"), values)
            moved += cursor.fetchall()
        return moved

    rewritten(move)


def listing(keep: Any) -> None:
    """Receipts with only those entries that `keep(run, entry)`."""
    real = receipt._in_flight

    def in_flight(run: Run) -> Iterator[dict[str, Any]]:
        return (entry for entry in real(run) if keep(run, entry))

    swap(receipt, "_in_flight", in_flight)


@mutant()
def receipt_leaves_out_attempts_taken_back() -> None:
    """N6, I1: the acknowledgement names every step not known to have ended, not those that run."""
    listing(lambda run, entry: run.live.lease_until is not None and entry["fence"] == run.live.fence)


@mutant()
def receipt_goes_by_the_lease() -> None:
    """N6, I1: a worker whose lease ran out a moment ago is slow, and not known to be dead."""
    listing(lambda run, entry: run.live.lease_until is not None and run.live.lease_until > database_now())


@mutant()
def receipt_leaves_out_what_runs() -> None:
    """I1: the acknowledgement names the step that is being performed."""
    listing(lambda run, entry: entry["fence"] != run.live.fence)


@mutant()
def later_receipt_leaves_out_what_an_earlier_cancel_left() -> None:
    """I1: whoever cancels again is not told that all is quiet while a step of those runs is still to end."""
    swap(live_run, "settling", lambda *_, **__: [])


@mutant()
def archive_takes_what_is_in_flight() -> None:
    """Archive takes cancelled runs: one that is still settling has an attempt somebody waits for."""
    real = LiveRunQuerySet.archive

    def archive(self: LiveRunQuerySet, *, cancellation: Cancellation, limit: int, reason: str) -> int:
        settling = LiveRun.objects.filter(cancellation=cancellation.pk, state="cancelling")
        settling.update(state="cancelled", lease_until=None)
        return real(self, cancellation=cancellation, limit=limit, reason=reason)

    swap(LiveRunQuerySet, "archive", archive)
