"""Starts what `on_cancel` asks for: for a cancelled run one separate run, once, after it was archived."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from automations.execution.accept import accept
from automations.invocation import InvokeRequest, Recipient
from automations.models import (
    Event,
    EventKind,
    No,
    OnCancelStart,
    Refusal,
    Run,
    database_now,
    insert,
)

DIALECT = "on_cancel"
LEASE = timedelta(seconds=60)
LONGEST_PAUSE = timedelta(minutes=5)
MOST_ATTEMPTS = 100
MOST_GENERATIONS = 10  # a run that calls itself off, and whose on_cancel is itself, would go on for ever
KEY_KEPT = timedelta(days=366)

log = logging.getLogger(__name__)


def start_what_follows(*, most: int) -> int:
    """Carries out at most so many `on_cancel`; how many were due. Each starts its run once: its idempotency key
    outlives it, so that whoever finds one left half-done gets the run it started."""
    taken = _claim(most=most, now=database_now())
    for start in taken:
        try:
            _carry_out(start)
        except Exception:  # it is due again when its lease is over; the others do not wait for it
            log.exception("on_cancel of run %s", start.run_id)
            if start.attempts >= MOST_ATTEMPTS:
                _close(start, error={"kind": "internal", "message": "it failed too often"})
    return len(taken)


def _claim(*, most: int, now: datetime) -> list[OnCancelStart]:
    """Due starts, nobody else's until their lease is over."""
    due = OnCancelStart.objects.filter(due_at__lte=now)
    if not due.exists():
        return []
    with transaction.atomic():
        rows = list(due.select_for_update(skip_locked=True).order_by("due_at", "pk")[:most])
        for row in rows:
            row.attempts += 1
            row.due_at = now + LEASE
        OnCancelStart.objects.bulk_update(rows, ["attempts", "due_at"])
    return rows


def _carry_out(start: OnCancelStart) -> None:
    run = Run.objects.select_related("environment", "invocation").get(pk=start.run_id)
    generation = _generation(run) + 1
    if generation > MOST_GENERATIONS:
        message = f"{MOST_GENERATIONS} runs in a row were started by on_cancel"
        _close(start, error={"kind": "too_deep", "message": message})
        return
    try:
        accepted = accept(_request(start, run, generation))
    except Refusal as refusal:
        if refusal.kind is No.UNAVAILABLE and start.attempts < MOST_ATTEMPTS:
            pause = min(timedelta(seconds=2 ** min(start.attempts, 20)), LONGEST_PAUSE)
            OnCancelStart.objects.filter(pk=start.pk).update(due_at=database_now() + pause)
        else:
            _close(start, error={"kind": refusal.code, "message": refusal.message})
        return
    runs = [run["id"] for run in accepted.runs]
    _close(start, invocation=str(accepted.invocation.uid), runs=runs)


def _request(start: OnCancelStart, run: Run, generation: int) -> InvokeRequest:
    """An invoke for the same recipient with the same data. The cancellation key is not handed on: whoever cancels
    by it again means the run that was, not what follows it."""
    return InvokeRequest(
        environment=run.environment, actor=f"run/{run.uid}", source=f"run/{run.uid}", dialect=DIALECT,
        automation=start.automation, recipients=[Recipient(id=run.recipient)], profile=run.profile,
        data=run.invocation.data, tenant=run.invocation.tenant,
        idempotency_key=f"{generation}/{run.uid}/{start.cancellation_id}", fingerprint=DIALECT,
        key_kept=KEY_KEPT,
    )  # fmt: skip


def _generation(run: Run) -> int:
    """How many starts by on_cancel, one after the other, led to this run or to the one at the top of its tree."""
    while run.parent_id is not None:
        run = Run.objects.select_related("invocation").get(pk=run.parent_id)
    invocation = run.invocation
    if invocation.dialect != DIALECT or invocation.idempotency_key is None:
        return 0
    return int(invocation.idempotency_key.partition("/")[0])


def _close(start: OnCancelStart, **said: Any) -> None:
    """The cancelled run's log says what came of it; nothing is due any more."""
    data: Mapping[str, Any] = {"automation": start.automation, **said}
    with transaction.atomic():
        gone, _ = OnCancelStart.objects.filter(pk=start.pk).delete()
        if gone:
            insert([Event(run_id=start.run_id, at=database_now(), kind=EventKind.FOLLOWED, data=dict(data))])
