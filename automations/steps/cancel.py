"""Carries out `cancel`: looked up before the transaction of its run's transition opens, done inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from automations import cancellation
from automations.cancellation import CancelRequest
from automations.definition import Cancel, Sought
from automations.machine import Plan
from automations.models import Cancellation, CancellationFilter, Environment, Origin, Refusal
from automations.models.statements import Rows, Statement

T = TypeVar("T")
Key = tuple[str, tuple[tuple[str, Any], ...]]
"""A step's name and what it resolved to: plans of one invocation that share both share one cancellation."""

NOBODY = 0  # primary key of no automation


class TooMany(Exception):
    """A cancel of the errands cannot move its runs one by one: do them all again, with `bars`."""

    def __init__(self, bars: frozenset[Key]) -> None:
        super().__init__(f"{len(bars)} cancels are bars")
        self.bars = bars


@dataclass(kw_only=True)
class Errands:
    """The cancel steps that one transaction carries out, by what they resolved to: with the filter of each, those
    that are `bars`, and what came of those done so far. False where there are none."""

    environment: Environment
    scopes: Mapping[Key, CancellationFilter]
    holds: bool = False
    bars: frozenset[Key] = frozenset()
    done: dict[Key, Cancellation] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.scopes)

    @property
    def places(self) -> bool:
        """Whether it places a bar or a hold, for which the gate must be taken exclusively."""
        return self.holds or bool(self.bars)

    @property
    def labels(self) -> list[str | None]:
        """For each cancel the token or key that all its runs bear; None where it asks for another thing."""
        return [scope.token or scope.key for scope in self.scopes.values() if not scope.run_ids]

    def counts(self) -> list[Statement]:
        """What to ask beside the gate, once: how many runs each matches."""
        return [] if self.bars else [one for statements in self._counts().values() for one in statements]

    def _counts(self) -> dict[Key, list[Statement]]:
        return {
            key: cancellation.counts(scope, environment_id=self.environment.pk)
            for key, scope in self.scopes.items()
        }

    def begin(self, rows: Sequence[Rows]) -> None:
        """The transaction begins, and the counts are `rows`. TooMany, before anything was written."""
        self.done = {}
        if self.bars:
            return
        counted = [key for key, statements in self._counts().items() for _ in statements]
        many = [key for key, one in zip(counted, rows, strict=True) if cancellation.must_be_bar([one])]
        if many:
            raise TooMany(frozenset(many))

    def fold(self, plan: Plan, *, invocation_id: int, run: str, now: datetime) -> list[dict[str, Any]]:
        """Carries out the plan's cancel steps, in the transaction that moves its `run` (public id); what the log
        says of every step of the plan."""
        said = []
        for carried in plan.carried:
            told = carried.as_json()
            if isinstance(carried.step, Cancel) and carried.sought is not None:
                key = _key(carried.step, carried.sought)
                if key not in self.done:
                    request = self._request(
                        carried.step, carried.sought, invocation_id=invocation_id, run=run
                    )
                    self.done[key] = self._perform(key, request, now=now)
                told |= {"cancellation": str(self.done[key].pk), "cancelled": self.done[key].cancelled}
            said.append(told)
        return said

    def _request(self, step: Cancel, sought: Sought, *, invocation_id: int, run: str) -> CancelRequest:
        """It spares runs of the same invocation unless the step includes them: recipients that share a token
        would cancel one another (PROTOCOL, invoke 5)."""
        spared = None if step.include_self else invocation_id
        return CancelRequest(
            environment=self.environment,
            filter=replace(self.scopes[_key(step, sought)], not_invocation_id=spared),
            actor=f"run/{run}", origin=Origin.STEP, reason=sought.reason, hold_for=step.hold_for,
            undo_for=step.undo_for,
        )  # fmt: skip

    def _perform(self, key: Key, request: CancelRequest, *, now: datetime) -> Cancellation:
        if key in self.bars:
            return cancellation.place_bar(request, now=now)
        return cancellation.carry_out(request, now=now)

    def carry_out(self, transact: Callable[[], T]) -> T:
        """What the transaction gives that carries them out: once, or again with bars for those that hit too many runs.
        After its commit the receipts of the bars are completed."""
        try:
            answer = transact()
        except TooMany as many:
            self.bars = many.bars
            answer = transact()
        for key in self.bars & self.done.keys():
            cancellation.complete(self.done[key])
        return answer


def errands(plans: Iterable[Plan], *, environment: Environment) -> Errands:
    """What these plans' cancel steps are for, looked up: before the transaction that carries them out opens."""
    scopes: dict[Key, CancellationFilter] = {}
    holds = False
    for plan in plans:
        for step, sought in plan.cancels():
            holds = holds or step.hold_for is not None
            if (key := _key(step, sought)) not in scopes:
                scopes[key] = _looked_up(CancellationFilter.from_json(dict(sought.fields)), environment)
    return Errands(environment=environment, scopes=scopes, holds=holds)


def _key(step: Cancel, sought: Sought) -> Key:
    return step.name, sought.fields


def _looked_up(scope: CancellationFilter, environment: Environment) -> CancellationFilter:
    """An automation that is unknown has no runs; nobody is there to be told so."""
    request = CancelRequest(environment=environment, filter=scope, actor="", origin=Origin.STEP)
    try:
        return cancellation.resolved(request).filter
    except Refusal:
        return cancellation.resolved(replace(request, filter=replace(scope, automation_id=NOBODY))).filter
