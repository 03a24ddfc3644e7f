"""Disabling, enabling, archiving: no more invokes are taken; runs under way go on, wait, or are called off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from automations.cancellation import (
    CancelRequest,
    carry_out_any_size,
    check_reason,
    complete,
    steps_in_flight,
)
from automations.models import (
    Automation,
    Cancellation,
    CancellationFilter,
    DisableMode,
    Environment,
    Event,
    EventKind,
    LiveRun,
    Origin,
    Overdue,
    Run,
    audit,
    definition_of_version,
    gate,
    insert,
    retried,
)
from automations.publication.publishing import locked
from automations.testpoints import testpoint

RESUMED_AT_ONCE = 100_000  # by the enabling itself; those beyond are let go by housekeeping
SKIPPED_AT_ONCE = 10_000  # each leaves an event
RESUMED_BEHIND = 5_000  # by one round of housekeeping


@dataclass(frozen=True, kw_only=True)
class Disabled:
    """A disabled automation; the cancellation, if its runs were called off; and if they are held, the steps of its
    unfinished runs that had started and are not known to have ended: nothing else happens until it is enabled."""

    automation: Automation
    cancellation: Cancellation | None = None
    in_flight: Sequence[dict[str, Any]] = ()


def disable(
    *,
    environment: Environment,
    key: str,
    by: str,
    mode: str = DisableMode.DRAIN,
    reason: str = "",
    request_id: str = "",
) -> Disabled:
    """Refuses new invokes of it from its commit on. Runs under way go on (`drain`), start no further step until it is
    enabled (`hold`), or are called off by the same commit (`cancel`).

    Of one that is disabled already, the mode changes: what was held goes on at once (`drain`), or is called off.
    """
    check_reason(reason)
    done = _disable(environment, key, by=by, mode=DisableMode(mode), reason=reason, request_id=request_id)
    if done.cancellation is not None:
        testpoint("cancel.committed")
        complete(done.cancellation)
    if mode != DisableMode.HOLD:
        return done
    testpoint("disable.committed")
    held = LiveRun.objects.within(environment.pk).filter(automation_id=done.automation.pk)
    return Disabled(automation=done.automation, in_flight=steps_in_flight(held))


@retried
def _disable(
    environment: Environment, key: str, *, by: str, mode: DisableMode, reason: str, request_id: str
) -> Disabled:
    """Behind the exclusive gate: an invoke that read the automation as enabled, and a start that read it as not held,
    have committed before this does."""
    with gate(environment_id=environment.pk, exclusive=True) as (now, barred, *_):
        automation = locked(environment, key)
        automation.disabled_at = automation.disabled_at or now
        automation.disabled_mode, automation.disabled_reason = mode, reason
        if mode == DisableMode.HOLD:
            automation.held_at, automation.resuming = automation.held_at or now, None
        else:
            # What is called off is let go as well, by housekeeping: an undo finds it due when it was.
            _lift(automation, overdue=Overdue.FIRE_NOW, now=now, at_once=mode == DisableMode.DRAIN)
        automation.updated_by = by
        automation.save()
        _note("disabled", automation, after={"mode": mode.value, "reason": reason or None})
        testpoint("disable.placed")
        if mode != DisableMode.CANCEL:
            return Disabled(automation=automation)
        request = CancelRequest(
            environment=environment,
            filter=CancellationFilter(automation=automation.key, automation_id=automation.pk),
            actor=by, origin=Origin.DISABLE, reason=reason, request_id=request_id,
        )  # fmt: skip
        cancellation = carry_out_any_size(request, now=now, barred=barred)
        return Disabled(automation=automation, cancellation=cancellation)


@retried
def enable(*, environment: Environment, key: str, by: str, overdue: str = Overdue.FIRE_NOW) -> Automation:
    """Accepts invokes of it again. Runs that were held go on; `overdue` says how those do whose time has passed."""
    with gate(environment_id=environment.pk, exclusive=True) as (now, *_):
        automation = locked(environment, key)
        automation.disabled_at = None
        automation.disabled_mode = automation.disabled_reason = ""
        _lift(automation, overdue=Overdue(overdue), now=now)
        automation.updated_by = by
        automation.save()
        _note("enabled", automation, after={"overdue": overdue})
        testpoint("enable.moved")
        return automation


@retried
def archive(*, environment: Environment, key: str, by: str) -> Automation:
    """Refuses new invokes of it for good from its commit on, behind the exclusive gate as disabling is. Runs under way
    go on; what was held stays so until it is enabled."""
    with gate(environment_id=environment.pk, exclusive=True) as (now, *_):
        automation = locked(environment, key)
        automation.archived_at = automation.archived_at or now
        automation.updated_by = by
        automation.save()
        _note("archived", automation)
        return automation


@retried
def resume(environment: Environment) -> bool:
    """Lets some more of the runs go on that were put aside while their automation was held; whether there may be
    more of them."""
    if not Automation.objects.within(environment).filter(resuming__isnull=False).exists():
        return False
    with gate(environment_id=environment.pk) as (now, *_):
        resuming = Automation.objects.within(environment).filter(resuming__isnull=False)
        automation = resuming.select_for_update(skip_locked=True).order_by("pk").first()
        if automation is None:
            return False
        _resume(automation, now=now, most=RESUMED_BEHIND)
        automation.save(update_fields=["resuming"])
    return True


def _note(what: str, automation: Automation, after: Mapping[str, Any] | None = None) -> None:
    audit(
        f"automation.{what}", of=f"automation/{automation.key}", by=automation.updated_by,
        environment_id=automation.environment_id, after=after,
    )  # fmt: skip


def _lift(automation: Automation, *, overdue: Overdue, now: datetime, at_once: bool = True) -> None:
    """Ends the hold, if there is one: its runs are let go at once, or by housekeeping."""
    if automation.held_at is None:
        return
    seconds = (now - automation.held_at).total_seconds()
    automation.held_at, automation.resuming = None, {"overdue": overdue, "seconds": seconds}
    if at_once:
        _resume(automation, now=now, most=SKIPPED_AT_ONCE if overdue == Overdue.SKIP else RESUMED_AT_ONCE)


def _resume(automation: Automation, *, now: datetime, most: int) -> None:
    """Lets at most so many go on; `resuming` is None when they were the last."""
    rule: dict[str, Any] = automation.resuming or {}
    if rule["overdue"] == Overdue.SKIP and _skip(automation, now=now, most=most) == most:
        return
    later = timedelta(seconds=rule["seconds"] if rule["overdue"] == Overdue.SHIFT else 0)
    runs = LiveRun.objects.within(automation.environment_id)
    if runs.unpark(automation_id=automation.pk, later=later, now=now, limit=most) < most:
        automation.resuming = None


def _skip(automation: Automation, *, now: datetime, most: int) -> int:
    """Leaves out the steps that were due; how many runs were looked at. Those under a bar are called off instead."""
    runs = LiveRun.objects.within(automation.environment_id)
    passed = runs.passed(automation_id=automation.pk, now=now, limit=most)
    testpoint("resume.read")
    called_off = runs.give_to_bars([row.run_id for row in passed])
    versions = dict(Run.objects.filter(pk__in=[row.run_id for row in passed]).values_list("pk", "version_id"))
    left = [row for row in passed if row.run_id not in called_off]
    place = lambda row: (versions[row.run_id] or 0, row.position)  # noqa: E731
    for (version, position), group in groupby(sorted(left, key=place), key=place):
        rows = list(group)
        definition = definition_of_version(version)
        step = definition.step_at(position)
        to = definition.after(position) if step is not None else position
        runs.skip([row.run_id for row in rows], position=position, to=to, now=now)
        if step is None:  # at the end there is nothing to leave out
            continue
        data = {"reason": "held", "position": to, "due_at": now.isoformat(), "fence": 0}  # of no attempt
        insert(
            Event(
                run_id=row.run_id,
                at=now,
                kind=EventKind.STEP_SKIPPED,
                step=step.name,
                attempt=row.attempt,
                data=data,
            )
            for row in rows
        )
    return len(passed)
