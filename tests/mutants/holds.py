"""Holds and cancel steps as they are written at first: a run passes between hold and invoke, or does what it must
not."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from typing import Any

from automations import cancellation, invocation
from automations.cancellation import CancelRequest
from automations.invocation import Draft, holding
from automations.invocation.request import RunDraft
from automations.machine import Plan
from automations.models import HELD, Cancellation, Invocation, Newborn, database_now
from automations.models.gate import Passage, gate
from automations.steps.cancel import Errands
from tests.mutants.mutant import mutant, swap

accept = import_module("automations.execution.accept")  # the package has a function of that name


@mutant(only="postgresql")
def hold_takes_the_gate_shared() -> None:
    """The order rule: an invoke that is half-way neither sees the hold nor is seen by its cancel."""

    def shared(**given: Any) -> AbstractContextManager[Passage]:
        if "beside" in given:  # not that of a bar
            given["exclusive"] = False
        return gate(**given)

    swap(cancellation, "gate", shared)


@mutant()
def holds_are_read_before_the_gate() -> None:
    """The order rule: a hold placed between the reading and the commit of an invoke holds nothing of it."""
    here = threading.local()
    transact = accept._transact

    def read_first(draft: Draft, plans: list[Plan], errands: Errands) -> Invocation:
        standing = Cancellation.objects.filter(
            environment=draft.request.environment, hold_until__gte=database_now(), undone_at=None
        )
        here.known = [(hold, replace(hold.scope, up_to=None)) for hold in standing.order_by("as_of")]
        stored: Invocation = transact(draft, plans, errands)
        return stored

    class Known:
        def __init__(self, newborn: Sequence[Newborn], *, environment_id: int, now: datetime) -> None:
            self.now = now

        def over(self, one: Newborn) -> Cancellation | None:
            known: list[tuple[Cancellation, Any]] = here.known
            return next((hold for hold, scope in known if scope.matches(one)), None)

    swap(accept, "_transact", read_first)
    swap(holding, "Holds", Known)


@mutant()
def held_run_carries_out_its_head() -> None:
    """A run that is called off where it is born does nothing, its cancel steps included."""
    real = holding.under_holds

    def folding(
        draft: Draft, plans: Sequence[Plan], *, held: bool, now: datetime
    ) -> tuple[Draft, list[Plan]]:
        caught, left = real(draft, plans, held=held, now=now)
        return caught, [
            plan._replace(status=one.status, status_reason=HELD) if one.status_reason == HELD else one
            for plan, one in zip(plans, left, strict=True)
        ]

    swap(invocation, "under_holds", folding)


@mutant()
def held_run_supersedes() -> None:
    """A run that is called off where it is born takes nobody's place."""
    swap(RunDraft, "exclusive_key", property(lambda self: self.concurrency_key))


@mutant(only="postgresql")
def cancel_step_places_behind_the_shared_gate() -> None:
    """A bar or a hold is placed behind the exclusive gate, whoever places it: a start may be half-way."""
    swap(Errands, "places", property(lambda self: False))


@mutant(only="postgresql")
def cancel_step_by_filter_takes_no_turn() -> None:
    """Two invokes that cancel the previous one, by whatever they know it, must not miss each other."""
    labels = Errands.labels

    def known(self: Errands) -> list[str | None]:
        found: list[str | None] = labels.fget(self)  # type: ignore[attr-defined]
        return [label for label in found if label is not None]

    swap(Errands, "labels", property(known))


@mutant()
def cancel_step_hits_its_own_invocation() -> None:
    """A cancel step spares the runs of its own invocation: recipients that share a token cancel one another."""
    real = Errands._request

    def unsparing(self: Errands, *given: Any, **named: Any) -> CancelRequest:
        request = real(self, *given, **named)
        return replace(request, filter=replace(request.filter, not_invocation_id=None))

    swap(Errands, "_request", unsparing)


@mutant()
def bar_of_a_step_leaves_its_own_run() -> None:
    """A step that includes its own run has it also under a bar, and the answer says so."""
    real = accept._correct_answer
    swap(accept, "_correct_answer", lambda composed, **_: real(composed, barred=False))
