"""The part of the one door that lets runs go on whose cancellation was undone (docs/decisions/0016-undo.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Q

from automations.models.cancellation import Cancellation, uid_parameter
from automations.models.descent import has_children, kin, reached
from automations.models.event import Event, EventKind
from automations.models.live_run_bars import cancelling
from automations.models.live_run_moves import at
from automations.models.live_run_parking import Parking
from automations.models.overdue import Overdue
from automations.models.run import Run
from automations.models.run_status import RunStatus
from automations.models.statements import Statement, execute, insert
from automations.testpoints import testpoint

if TYPE_CHECKING:
    from automations.models.live_run import LiveRun

IN_FLIGHT, SKIPPED = "in_flight", "skipped"  # why a step is passed over

# Whether the step at which the run stands was in flight at the cancel: it was started, or an attempt at it is lost.
# One that still has its lease goes on under it.
STARTED = """
(lease_until IS NULL AND (started_at IS NOT NULL OR unsettled IS NOT NULL AND EXISTS (
    SELECT 1 FROM {entries} WHERE {of_entry} = automations_liverun.position
)))"""
REAL_DUE_AT = "COALESCE(parked_due_at, due_at)"  # what is held is put aside again by the next start
OVERDUE = f"(lease_until IS NULL AND {REAL_DUE_AT} <= %s)"
BEHIND = "CAST(CAST(position AS integer) + 1 AS text)"
CALLED_OFF = """
environment_id = %s AND ({where} OR parent_id IS NOT NULL) AND cancellation_id = %s
 AND state IN ('cancelling', 'cancelled')"""
RESTORE = """
UPDATE automations_liverun
SET state = CASE WHEN lease_until IS NULL THEN 'waiting' ELSE 'running' END, cancellation_id = NULL,
    position = CASE WHEN {passed} THEN {behind} ELSE position END,
    attempt = CASE WHEN {passed} THEN 0 ELSE attempt END,
    started_at = CASE WHEN lease_until IS NULL THEN NULL ELSE started_at END,
    due_at = {due}, parked_due_at = NULL
WHERE {called_off}
"""
# Before that, from the same rows: behind the exclusive gate nothing moves them in between.
LOG = """
INSERT INTO automations_event (run_id, at, kind, step, attempt, data)
SELECT run_id, %s, 'restored', '', 0, {data}
FROM (
    SELECT run_id, position, {real_due_at} AS due_at, {due} AS next_due, {why} AS passed,
           CASE WHEN {passed} THEN {behind} ELSE position END AS next_position
    FROM automations_liverun WHERE {called_off}
) restored
"""
_WORDS = {
    "postgresql": {
        "entries": "jsonb_array_elements(unsettled) entry", "of_entry": "entry->>'position'",
        "later": f"{REAL_DUE_AT} + %s",
        "data": "%s::jsonb || jsonb_strip_nulls(jsonb_build_object('from', position, 'was_due_at', due_at, "
                "'position', next_position, 'due_at', next_due, 'passed', passed))",
    },
    "sqlite": {
        "entries": "json_each(unsettled) entry", "of_entry": "json_extract(entry.value, '$.position')",
        "later": f"django_format_dtdelta('+', {REAL_DUE_AT}, %s)",
        "data": "json_patch(%s, json_object('from', position, 'was_due_at', replace(due_at, ' ', 'T') || '+00:00', "
                "'position', next_position, 'due_at', replace(next_due, ' ', 'T') || '+00:00', 'passed', passed))",
    },
}  # fmt: skip
DUE_OR_LOST = "(due_at <= %s OR unsettled IS NOT NULL)"
GIVEN_AT_ONCE = 1_000


class RestoredRuns(Parking):
    """What an undo does: at once to what is not archived, and in chunks to what is."""

    def give_what_passed(self, bars: Sequence[Cancellation], *, now: datetime) -> None:
        """Gives these bars, oldest first, the runs under them that are due or have lost an attempt: what an undo
        has a rule for. Those with children, or with parents, first and one by one, with all beneath them."""
        if has_children(bars[0].environment_id):
            live = self.filter(reached(bars, environment=bars[0].environment_id))
            passed = live.filter(Q(due_at__lte=now) | Q(unsettled__isnull=False)).filter(kin())
            pks = list(passed.values_list("pk", flat=True))
            for start in range(0, len(pks), GIVEN_AT_ONCE):
                self.give_to_bars(pks[start : start + GIVEN_AT_ONCE])
        for bar in bars:
            execute(cancelling(bar, bar.scope, (DUE_OR_LOST, [at(now)])))

    def restore(self, cancellation: Cancellation) -> int:
        """cancelled -> waiting and cancelling -> waiting, or running where the attempt has its lease, for all
        that the cancellation has called off and that is not archived; the number restored.

        `undone_at`, `undone_by` and `overdue` are set. A step that was in flight is passed over, and so is one
        whose time has come by the rule `skip`; a time that has come is moved on by the rule `shift`. One guarded
        UPDATE, and one INSERT for the log. Behind the exclusive gate.
        """
        with connection.cursor() as cursor:
            cursor.execute(*_restoring(cancellation, logged=True))
            cursor.execute(*_restoring(cancellation))
            restored = int(cursor.rowcount)
        if cancellation.undone_at is not None:
            self.wake_restored(cancellation, now=cancellation.undone_at)
        return restored

    def bring_back(self, cancellation: Cancellation, *, limit: int) -> list[Run]:
        """Makes live rows again for at most `limit` archived runs of an undone cancellation, each under a fence
        that no worker of before holds; the runs. `wake_restored` is to follow when all are back: a child may be ending
        at this moment, which does not see that its parent waits for it again."""
        archived = Run.objects.filter(cancellation=cancellation.pk, status=RunStatus.CANCELLED)
        wide = ("profile", "invocation__data", "invocation__answer")
        whole = archived.select_related("invocation").defer(*wide)
        runs = list(whole.select_for_update(skip_locked=True, of=("self",))[:limit])
        if not runs:
            return []
        testpoint("undo.read")
        last = _last_words(runs, cancellation)
        pairs = [self._again(run, last[run.pk], cancellation) for run in runs if run.pk in last]
        pks = [live.pk for live, _ in pairs]
        moved = Run.objects.filter(
            pk__in=pks, status=RunStatus.CANCELLED, cancellation=cancellation.pk
        ).update(status=None, status_reason="", finished_at=None, cancellation=None)
        if moved != len(pks):
            raise AssertionError(f"{moved} of {len(pks)} locked runs were cancelled")
        insert([*(live for live, _ in pairs), *(event for _, event in pairs)])
        return [run for run in runs if run.pk in last]

    def _again(self, run: Run, last: Event, cancellation: Cancellation) -> tuple[LiveRun, Event]:
        """The live row as it was when it was archived, where it goes on, and what the log says of that."""
        undone_at, invocation = cancellation.undone_at, run.invocation
        assert undone_at is not None
        said: Mapping[str, Any] = last.data
        position = was = said["position"] if last.kind == EventKind.INVOKED else last.step
        due_at = was_due_at = datetime.fromisoformat(said["due_at"])
        passed = IN_FLIGHT if "started_at" in said else None
        if passed is None and due_at <= undone_at:
            passed = SKIPPED if cancellation.overdue == Overdue.SKIP else None
            if cancellation.overdue == Overdue.SHIFT:
                due_at += undone_at - max(cancellation.as_of, run.created_at)  # born under it, if it held
        if passed is not None:
            position = str(int(position) + 1)
        live = self.model(
            run=run, uid=run.uid, environment_id=run.environment_id, automation_id=run.automation_id,
            invocation=invocation, parent_id=run.parent_id, recipient=run.recipient, source=run.source,
            tags=invocation.tags or None, tenant=invocation.tenant, token=run.token, key=run.key,
            concurrency_key=said.get("concurrency_key"), created_at=run.created_at, due_at=due_at,
            position=position, attempt=0 if passed else last.attempt, fence=said.get("fence", 0) + 1,
            on_cancel=said.get("on_cancel"), awaits=said.get("awaits"),
        )  # fmt: skip
        where = {
            "from": was, "was_due_at": was_due_at.isoformat(), "position": position, "due_at": due_at.isoformat()
        }  # fmt: skip
        data = _told(cancellation) | where | ({"passed": passed} if passed else {})
        return live, Event(run=run, at=undone_at, kind=EventKind.RESTORED, data=data)


def _restoring(cancellation: Cancellation, *, logged: bool = False) -> Statement:
    """The UPDATE, or the INSERT that logs it."""
    words = _WORDS[connection.vendor]
    undone_at = cancellation.undone_at
    assert undone_at is not None
    now = [at(undone_at)]
    started, rule = STARTED.format(**words), cancellation.overdue
    skips = rule == Overdue.SKIP
    passed, of_passed = (f"({started} OR {OVERDUE})", now) if skips else (started, [])
    why = (
        f"CASE WHEN {started} THEN '{IN_FLIGHT}'"
        + (f" WHEN {OVERDUE} THEN '{SKIPPED}'" if skips else "")
        + " END"
    )
    due, of_due = REAL_DUE_AT, list[Any]()
    if rule == Overdue.SHIFT:
        due = f"CASE WHEN {OVERDUE} AND NOT {started} THEN {words['later']} ELSE {REAL_DUE_AT} END"
        of_due = [*now, _span(undone_at, cancellation)]
    where, values = cancellation.scope.where()
    called_off = CALLED_OFF.format(where=where)
    of_rows = [cancellation.environment_id, *values, uid_parameter(cancellation.pk)]
    if logged:
        data = json.dumps(_told(cancellation))
        text = LOG.format(
            data=words["data"], due=due, real_due_at=REAL_DUE_AT, why=why, passed=passed, behind=BEHIND,
            called_off=called_off,
        )  # fmt: skip
        return text, [*now, data, *of_due, *of_passed, *of_passed, *of_rows]
    text = RESTORE.format(passed=passed, behind=BEHIND, due=due, called_off=called_off)
    return text, [*of_passed, *of_passed, *of_due, *of_rows]


def _span(undone_at: datetime, cancellation: Cancellation) -> Any:
    """The time between the cancel and its undo, as a raw statement's parameter."""
    span = undone_at - cancellation.as_of
    return span if connection.vendor == "postgresql" else span // timedelta(microseconds=1)


def _told(cancellation: Cancellation) -> dict[str, Any]:
    """What the log says of the undo itself."""
    return {
        "cancellation": str(cancellation.pk), "as_of": cancellation.as_of.isoformat(),
        "actor": cancellation.undone_by, "overdue": cancellation.overdue,
    }  # fmt: skip


def _last_words(runs: Sequence[Run], cancellation: Cancellation) -> dict[int, Event]:
    """By run, the event that says where it stood: that of its cancel, or its first where it never stood anywhere."""
    cancelled = Q(kind=EventKind.CANCELLED, data__cancellation=str(cancellation.pk))
    events = Event.objects.filter(cancelled | Q(kind=EventKind.INVOKED), run__in=[run.pk for run in runs])
    return {event.run_id: event for event in events.order_by("pk")}
