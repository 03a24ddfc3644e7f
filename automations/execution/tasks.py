"""A started attempt with all that its step needs, read in the transaction that starts it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from automations.definition import DEFAULT_TIMEOUT, Definition, Step
from automations.expressions import Scope
from automations.machine import Plan
from automations.models import (
    LATE_AFTER,
    Claim,
    Event,
    EventKind,
    definition_of,
    inputs_of,
    own_of,
)
from automations.steps import Outcome, owner_of
from automations.steps.invoke import Birth

OVERDUE_SECONDS = 5.0


class Task(NamedTuple):
    """A started attempt with all it needs to be performed without the database.

    `started` is the time.monotonic() of the start, so that a clock that is off harms nothing.
    """

    claim: Claim
    definition: Definition
    data: Any
    profile: Any
    refs: dict[str, Any]
    started: float

    @property
    def run(self) -> str:
        """The run's public id."""
        return self.claim.uid

    @property
    def step(self) -> Step | None:
        return self.definition.step_at(self.claim.position)

    @property
    def is_late(self) -> bool:
        """Whether it was long overdue when it was started."""
        return self.claim.started_at - self.claim.due_at >= LATE_AFTER

    def now(self) -> datetime:
        """The database's clock, as far as this process can tell without asking."""
        return self.claim.started_at + timedelta(seconds=time.monotonic() - self.started)

    @property
    def is_overdue(self) -> bool:
        """Whether its hard deadline passed seconds ago: whoever performs it is stuck and will lose it."""
        seconds = (self.step.timeout if self.step else DEFAULT_TIMEOUT).total_seconds()
        return time.monotonic() > self.started + seconds + OVERDUE_SECONDS

    @property
    def owner(self) -> str:
        """Whose expressions its are; see `owner_of`."""
        return owner_of(self.claim.environment_id)

    def scope(self, now: datetime) -> Scope:
        """What the step's expressions may read at that moment."""
        return Scope(self.data, self.profile, now, self.claim.uid, self.refs)


class Done(NamedTuple):
    """A performed task: what came of its effect (None where there was none), where the run goes, and the children
    that it bears on the way."""

    task: Task
    outcome: Outcome | None
    plan: Plan
    births: Sequence[Birth] = ()

    @property
    def stands_alone(self) -> bool:
        """Whether its transition is a transaction of its own: it calls other runs off, bears some, or changes a
        profile."""
        return any(carried.writes for carried in self.plan.carried)


def tasks_of(claims: Sequence[Claim], *, started: float) -> list[Task]:
    """The claims with what their steps need; `started` is a time.monotonic()."""
    if not claims:
        return []
    inputs = inputs_of(claim.invocation_id for claim in claims)
    own = own_of(claim.run_id for claim in claims)
    tasks = []
    for claim in claims:
        version_id, profile = own[claim.run_id]
        data, brought, skips_delays = inputs[claim.invocation_id]
        definition = brought or definition_of(version_id=version_id, invocation_id=claim.invocation_id)
        if skips_delays:
            definition = definition.without_delays()
        tasks.append(
            Task(
                claim=claim, definition=definition, data=data, profile=profile, refs=_refs(definition, claim),
                started=started,
            )
        )  # fmt: skip
    return tasks


def _refs(definition: Definition, claim: Claim) -> dict[str, Any]:
    """What `refs` holds besides data and profile: the recipient, and the status of earlier steps that others
    refer to; the log is read only for definitions that have such steps."""
    refs: dict[str, Any] = {"recipient": claim.recipient}
    if by_name := definition.referred:
        kinds = (*STEP_STATUS, EventKind.CARRIED, EventKind.CHILD_ENDED)
        ended = Event.objects.filter(run_id=claim.run_id, step__in=by_name, kind__in=kinds).order_by("pk")
        said = ended.values_list("step", "kind", "data__outcome", "data__run", "data__status")
        for step, kind, outcome, run, status in said:
            if kind == EventKind.CHILD_ENDED:
                refs[by_name[step]] = {"run": run, "status": status}
                continue
            known = f"step_{outcome}" if kind == EventKind.CARRIED else kind
            refs[by_name[step]] = {"status": STEP_STATUS[known]}
    return refs


STEP_STATUS: dict[str, str] = {
    EventKind.STEP_COMPLETED: "SENT", EventKind.STEP_SKIPPED: "SKIPPED", EventKind.STEP_FAILED: "UNDELIVERABLE",
}  # fmt: skip
