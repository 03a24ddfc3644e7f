"""The part of the one door that puts runs of held automations aside, and lets them go on.

A due run of a held automation that a start meets is *parked*: its due time is kept beside, and it is due in the far
future, so that no start walks over it again. Its state does not change, and a cancel takes no notice
(docs/decisions/0019-holding-an-automation.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection
from django.db.models import Case, F, Q, QuerySet, Value, When

from automations.models.automation import Automation
from automations.models.live_run_times import Timetable
from automations.models.run_status import RunStatus
from automations.models.statements import Statement, fetch
from automations.testpoints import testpoint

if TYPE_CHECKING:
    from automations.models.live_run import LiveRun

ASIDE = datetime(9000, 1, 1, tzinfo=UTC)
PARKED_AT_ONCE = 1_000
_HELD = "SELECT id FROM automations_automation WHERE environment_id = %s AND held_at IS NOT NULL"
NOT_HELD = f"(automation_id IS NULL OR automation_id NOT IN ({_HELD}))"
# As the statement that starts (live_run_moves.START), for those that must not be started.
PARK = f"""
WITH due AS MATERIALIZED (
    SELECT run_id FROM automations_liverun
    WHERE environment_id = %s AND state = 'waiting' AND due_at <= %s AND automation_id IN ({_HELD})
    ORDER BY due_at LIMIT %s {{lock}}
)
UPDATE automations_liverun SET parked_due_at = due_at, due_at = %s
WHERE run_id IN (SELECT run_id FROM due) AND state = 'waiting'
RETURNING run_id
"""  # noqa: S608


class Passed(NamedTuple):
    """A parked run whose time has passed: primary key, where it waits, and the attempts it has had there."""

    run_id: int
    position: str
    attempt: int


def not_held(environment_id: int) -> Statement:
    """The condition over automations_liverun that leaves out the runs of held automations."""
    return NOT_HELD, [environment_id]


class Parking(Timetable):
    """A parked run is one with `parked_due_at`; it waits, unless it was called off since."""

    def park(self, *, environment_id: int, now: datetime) -> int:
        """Puts aside a thousand of the due runs of held automations; the number put aside."""
        lock = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
        moment, aside = (connection.ops.adapt_datetimefield_value(value) for value in (now, ASIDE))
        given = [environment_id, moment, environment_id, PARKED_AT_ONCE, aside]
        (rows,) = fetch([(PARK.format(lock=lock), given)])
        testpoint("park.moved")
        return len(rows)

    def of_held(self, run_ids: Iterable[int]) -> set[int]:
        """Which of these runs follow an automation that is held."""
        held = Automation.objects.filter(held_at__isnull=False)
        mine = self.filter(pk__in=list(run_ids), automation__in=held.values("pk"))
        return set(mine.values_list("pk", flat=True))

    def unpark(self, *, automation_id: int, later: timedelta, now: datetime, limit: int) -> int:
        """Lets at most `limit` parked runs of the automation be due when they were, and those whose time has passed
        `later` than that; the number of them. One that was called off gets its own time back, for an undo."""
        parked = self._parked(automation_id)
        due_at: Any = F("parked_due_at")
        if later:
            passed = When(state=RunStatus.WAITING, parked_due_at__lte=now, then=due_at + Value(later))
            due_at = Case(passed, default=due_at)
        if parked[: limit + 1].count() > limit:  # nobody parks any more: without a subquery, if that is so
            parked = parked.filter(pk__in=parked.values("pk")[:limit])
        return parked.update(due_at=due_at, parked_due_at=None)

    def passed(self, *, automation_id: int, now: datetime, limit: int) -> list[Passed]:
        """At most `limit` parked runs of the automation whose time has passed, locked."""
        waiting = self._parked(automation_id).filter(state=RunStatus.WAITING, parked_due_at__lte=now)
        rows = waiting.select_for_update().values_list("pk", "position", "attempt")[:limit]
        return [Passed(*row) for row in rows]

    def skip(self, run_ids: Iterable[int], *, position: str, to: str, now: datetime) -> int:
        """Lets parked runs that wait at `position` go on at once at another one; the number moved. Only for runs
        locked by `passed`."""
        parked = Q(state=RunStatus.WAITING, position=position, parked_due_at__isnull=False)
        return self.filter(parked, pk__in=list(run_ids)).update(
            position=to, due_at=now, parked_due_at=None, attempt=0
        )

    def _parked(self, automation_id: int) -> QuerySet[LiveRun]:
        return self.filter(automation_id=automation_id, parked_due_at__isnull=False)
