"""A cancel rehearsed: what it would do now, and a plan that does exactly that later, or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any

from django.core import signing
from django.db.models import Count

from automations.cancellation import (
    CancelRequest,
    Shown,
    left_in_flight,
    matching,
    resolved,
    steps_in_flight,
    trees_to_hit,
)
from automations.models import (
    COUNTED_FINISHED,
    Automation,
    CancellationFilter,
    Environment,
    LiveState,
    Refusal,
    Run,
    counting_ended,
    database_now,
    reached,
    standing,
)
from automations.models.statements import fetch

SAMPLED = 10
NAMED = 10_000  # runs that a plan names; of more it says how many they are
PLAN_KEPT = timedelta(hours=1)
_SALT = "automations.rehearsal"


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a cancel would do at `as_of` (UTC): numbers of runs by automation (key; None for ad hoc definitions) and
    by status, the newest of the runs, and a plan for `planned`. `kinds` are the live rows of the runs."""

    as_of: datetime
    scope: CancellationFilter
    by_automation: Sequence[tuple[str | None, int]]
    by_status: Sequence[tuple[str, int]]
    sample: Sequence[Run]
    plan: str
    environment: Environment
    kinds: Sequence[Any]

    @property
    def cancelled(self) -> int:
        """How many runs it would call off."""
        return sum(count for _, count in self.by_status)

    def already_finished(self) -> int | None:
        """How many runs match that have ended, or been called off, before; None where they are too many to count."""
        (((count,),),) = fetch([counting_ended(self.scope, environment_id=self.environment.pk)])
        if bars := list(standing(environment=self.environment)):
            barred = matching(self.environment, self.scope).filter(
                reached(bars, environment=self.environment)
            )
            count += barred.order_by()[: COUNTED_FINISHED + 1].count()
        return int(count) if count <= COUNTED_FINISHED else None

    def steps_in_flight(self) -> list[dict[str, Any]]:
        """The steps under way of the runs, and what earlier cancels have left in flight, as a receipt keeps them."""
        found = [entry for live in self.kinds for entry in steps_in_flight(live)]
        return [*found, *left_in_flight(self.scope, environment=self.environment)]

    @property
    def in_flight(self) -> int:
        """How many of the runs have a step under way."""
        return dict(self.by_status).get(LiveState.RUNNING, 0)


class Many(Exception):
    """The request would cancel more runs than are to be counted now."""


def rehearse(request: CancelRequest, *, most: int | None = None) -> Rehearsal:
    """Counts and shows what the request would cancel; changes and stores nothing. Refusal as for a cancel; Many where
    there are more runs than `most` of a kind (matched, or beneath those), no more of which are then looked at."""
    request = resolved(request)
    scope = replace(request.filter, up_to=Run.objects.newest_pk())
    kinds = trees_to_hit(request.environment, scope)
    if most is not None and any(live.order_by()[: most + 1].count() > most for live in kinds):
        raise Many
    by_status, by_automation = Counter[str](), Counter[int | None]()
    for live in kinds:
        # In one statement, which takes as long as there are runs to count.
        counts = live.order_by().values_list("state", "automation").annotate(count=Count("pk"))
        for state, automation, count in sorted(counts, key=lambda row: (row[1] or 0, row[0])):
            by_status[state] += count
            by_automation[automation] += count
    total = by_status.total()
    newest = sorted(
        pk
        for live in kinds
        for pk in live.order_by("-pk").values_list("pk", flat=True)[: total if total <= NAMED else SAMPLED]
    )
    keys = dict(Automation.objects.filter(pk__in=filter(None, by_automation)).values_list("pk", "key"))
    sample = Run.objects.listed().filter(pk__in=newest[-SAMPLED:])
    plan = {"environment": request.environment.pk, "filter": scope.as_json(), "most": total}
    if total <= NAMED:
        # From one to the next: shorter.
        plan["steps"] = [pk - before for before, pk in pairwise([0, *newest])]
    return Rehearsal(
        as_of=database_now(),
        scope=scope,
        by_status=sorted(by_status.items()),
        by_automation=[(keys.get(pk or 0), count) for pk, count in by_automation.most_common()],
        sample=list(sample.newest_first()),
        plan=signing.dumps(plan, salt=_SALT, compress=True),
        environment=request.environment,
        kinds=kinds,
    )


def check_age(plan: str) -> None:
    """Refusal for a plan that is older than an hour."""
    try:
        signing.loads(plan, salt=_SALT, max_age=PLAN_KEPT)
    except signing.SignatureExpired as error:
        raise Refusal.at("/plan", "plan_expired", "a plan is good for an hour; ask for a new one") from error


def planned(plan: str, *, environment: Environment) -> tuple[CancellationFilter, Shown]:
    """The filter of that plan, with the last run that it was shown for, and what was shown; how old it is `check_age`
    tells. Refusal when it is not a plan of this environment."""
    try:
        known: dict[str, Any] = signing.loads(plan, salt=_SALT)
    except signing.BadSignature as error:
        raise Refusal.at("/plan", "invalid", "this is not a plan that a dry run gave") from error
    if known["environment"] != environment.pk:
        raise Refusal.at("/plan", "invalid", "this plan is of another environment")
    runs = frozenset(accumulate(known["steps"])) if "steps" in known else None
    return CancellationFilter.from_json(known["filter"]), Shown(known["most"], runs)
