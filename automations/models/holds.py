"""Cancellations that hold: until its time is over, one also has the runs accepted after it, as they are born.

A hold is placed behind the exclusive gate and read behind the gate: an invoke has committed before it, and is hit
by it like any other, or sees it (docs/decisions/0017-holds.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple

from django.db import models

from automations.definition import CANNOT_HOLD
from automations.models.called_off import CalledOff, beside
from automations.models.cancellation import Cancellation
from automations.models.cancellation_filter import CancellationFilter


class Newborn(NamedTuple):
    """What a run is born with, as a filter sees it. It has no key yet; nothing that holds can name one."""

    token: str | None
    key: str | None
    recipient: str | None
    automation_id: int | None
    source: str
    tenant: str | None
    tags: Sequence[str]
    created_at: datetime
    pk: int = 0
    invocation_id: int = 0

    @property
    def bars(self) -> set[str]:
        """Every `CancellationFilter.bar` that it may be under."""
        named = {
            "label": (self.token, self.key), "key": (self.key,), "recipient": (self.recipient,),
            "source": (self.source,), "tenant": (self.tenant,), "automation": (self.automation_id,),
        }  # fmt: skip
        return {"all"} | {
            f"{name}:{value}" for name, values in named.items() for value in values if value is not None
        }


def what_cannot_hold(scope: CancellationFilter) -> str | None:
    """The first field of the filter that can match no run accepted later; None where it can hold."""
    return next((name for name in CANNOT_HOLD if getattr(scope, name) not in (None, ())), None)


class Holds:
    """The holds that stand at `now` over some runs about to be born, read behind the gate in one statement."""

    def __init__(self, newborn: Iterable[Newborn], *, environment_id: int, now: datetime) -> None:
        bars = sorted(set[str]().union(*(one.bars for one in newborn)))
        standing = Cancellation.objects.filter(
            environment=environment_id, hold_until__gte=now, undone_at=None, bar__in=bars
        )
        oldest_first = standing.order_by("as_of", "pk").defer("cancelled_run_ids", "in_flight")
        self._by_bar = defaultdict[str | None, list[tuple[int, Cancellation, CancellationFilter]]](list)
        for place, hold in enumerate(oldest_first):
            self._by_bar[hold.bar].append((place, hold, replace(hold.scope, up_to=None)))

    def over(self, one: Newborn) -> Cancellation | None:
        """The oldest that is for this run."""
        near = (entry for bar in one.bars for entry in self._by_bar.get(bar, ()))
        mine = [(place, hold) for place, hold, scope in near if scope.matches(one)]
        return min(mine, key=itemgetter(0))[1] if mine else None


def called_off_at_birth(
    runs: Iterable[tuple[int, Cancellation | None, str | None]],
    *,
    position: str,
    on_cancel: str | None,
    now: datetime,
) -> list[models.Model]:
    """The rows beside those of these runs that were born under a hold, each after its `invoked` event: what an
    archived run leaves. They come as primary key, hold and concurrency key, and were due at `position`, now."""
    by_hold: dict[Cancellation, list[CalledOff]] = {}
    for pk, hold, concurrency_key in runs:
        if hold is not None:
            said_last = CalledOff(
                pk,
                position,
                now,
                attempt=0,
                fence=0,
                on_cancel=on_cancel,
                concurrency_key=concurrency_key,
            )
            by_hold.setdefault(hold, []).append(said_last)
    return [row for hold, members in by_hold.items() for row in beside(members, cancellation=hold, at=now)]
