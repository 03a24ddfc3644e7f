"""Holding, disabling and enabling as they are written at first: a step starts that was held, or a run slips through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from automations.execution import Done, work
from automations.models import Claim, gate
from automations.models.live_run import LiveRunQuerySet
from automations.models.live_run_parking import Parking
from automations.publication import disabling, publishing
from tests.mutants.mutant import mutant, swap
from tests.mutants.starts import without_a_lock


def shared(*, exclusive: bool = False, **given: Any) -> Any:
    """The gate, which lets whoever is half-way go on."""
    return gate(**given)


@mutant(only="postgresql")
def disabling_takes_the_gate_shared() -> None:
    """A start or an invoke that read the automation as it was must have committed before it is disabled."""
    swap(disabling, "gate", shared)


@mutant(only="postgresql")
def publishing_takes_the_gate_shared() -> None:
    """An invoke of an earlier version must have committed before those runs are called off."""
    swap(publishing, "gate", shared)


@mutant()
def start_knows_no_holds() -> None:
    """No step of a held automation starts, until it is enabled again."""
    real = LiveRunQuerySet.start

    def start(self: LiveRunQuerySet, *, held: bool = False, **given: Any) -> list[Claim]:
        return real(self, **given)

    swap(LiveRunQuerySet, "start", start)


@mutant()
def finish_carries_out_what_follows() -> None:
    """A record step of a held run is a start as well, though it is carried out by the finish before it."""

    def as_planned(done: Sequence[Done], *, now: datetime) -> list[Done]:
        return list(done)

    swap(work, "without_record_steps", as_planned)


@mutant()
def enabling_forgets_what_was_put_aside() -> None:
    """What was put aside is let go: it is not met by any start until then."""
    swap(Parking, "unpark", lambda self, **given: 0)


@mutant(only="postgresql")
def skipping_reads_then_writes() -> None:
    """A run that was called off between the look at it and the write keeps its place."""
    without_a_lock("passed")

    def skip(self: Parking, run_ids: Iterable[int], *, position: str, to: str, now: datetime) -> int:
        return self.filter(pk__in=list(run_ids)).update(
            position=to, due_at=now, parked_due_at=None, attempt=0
        )

    swap(Parking, "skip", skip)
