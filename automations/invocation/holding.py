"""Which of the runs about to be born belong to a cancellation that holds, and what then becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from automations.invocation.request import Draft
from automations.machine import Plan
from automations.models import HELD, Holds, Newborn


def under_holds(
    draft: Draft, plans: Sequence[Plan], *, held: bool, now: datetime
) -> tuple[Draft, list[Plan]]:
    """The draft and its plans as the holds leave them, inside a transaction behind the gate, where `held` was
    learnt: it says whether holds stand at all, and nothing is read when none do.

    A run under a hold is born cancelled: no step of it is carried out, and it supersedes nobody.
    """
    if not held:
        return draft, list(plans)
    request = draft.request
    newborn = [
        Newborn(
            token=run.token, key=request.key, recipient=run.recipient, source=request.source,
            automation_id=draft.automation.pk if draft.automation is not None else None,
            tenant=request.tenant, tags=request.tags, created_at=now,
        )
        for run in draft.runs
    ]  # fmt: skip
    holds = Holds(newborn, environment_id=request.environment.pk, now=now)
    mine = [holds.over(one) for one in newborn]
    stopped = Plan(position=draft.start, due_at=now, now=now, status="cancelled", status_reason=HELD)
    runs = [
        run if hold is None else replace(run, held_by=hold)
        for run, hold in zip(draft.runs, mine, strict=True)
    ]
    left = [plan if hold is None else stopped for plan, hold in zip(plans, mine, strict=True)]
    return replace(draft, runs=tuple(runs)), left
