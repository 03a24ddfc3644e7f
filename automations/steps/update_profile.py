"""Carries out `update-profile`: in the transaction that moves its run, and last in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from automations.definition import merged
from automations.machine import Plan
from automations.models import Claim, Refusal, Run, change_profiles, check_size
from automations.steps.base import Refused


def write(
    moves: Iterable[tuple[Claim, Mapping[str, Any], Plan]], *, environment_id: int, now: datetime
) -> None:
    """Changes what is stored of the recipients that the plans of these moved runs name; of a run's own, also the
    profile that the run goes on with, which is given. Refused for one that would be too large."""
    for claim, profile, plan in moves:
        for step, change in plan.changes():
            lay_over = partial(merged, said=change.said, how=change.how)
            try:
                if change.recipient == claim.recipient:
                    own = lay_over(profile)
                    check_size(own, of=change.recipient)
                    Run.objects.filter(pk=claim.run_id).update(profile=own)
                change_profiles({change.recipient: lay_over}, environment_id=environment_id, now=now)
            except Refusal as refusal:
                raise Refused(step, refusal) from refusal
