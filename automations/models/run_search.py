"""How runs are found: each search through an index, whatever the planner would make of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.db import models
from django.db.models.functions import Cast, Now
from django.db.models.lookups import EndsWith, Exact

from automations.models.cancellation import Cancellation
from automations.models.descent import BORN, reached, spared, through_parents
from automations.models.environment import Environment
from automations.models.invocation import JOURNEYS, Invocation
from automations.models.run_status import RunStatus
from automations.models.uid import first_uid

if TYPE_CHECKING:
    from automations.models.run import Run

SKEW = timedelta(minutes=5)  # between a run's uid, made while an invoke is prepared, and its created_at
FEW = 10_000  # runs that a search fetches one by one
NAMED = 1_000  # of them, which are named: a planner that knew but the condition might meet them newest first
LOOKED_AT, MET = 50_000, 500  # the newest runs, and how many of them make it worth reading newest first
MANY = 100  # cancellations whose filters are asked for
SEARCHED = ("id", "source", "token", "recipient", "key")
LEAST_DIGITS = 8  # of an id, to be searched for among other fields
LAST_DIGITS = 12  # of one in short: behind the last dash
HIGHEST_PK = 2**63 - 1
_HEX = frozenset("0123456789abcdef")
# Asked of each run that a list looks at: a planner that could join would read them all.
_DIALECT = models.Subquery(Invocation.objects.filter(pk=models.OuterRef("invocation")).values("dialect"))


class CappedCount(models.Subquery):
    """`CappedCount(queryset[:most])`: how many rows, counted no further than the slice, in another query."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) capped)"
    output_field = models.IntegerField()
    empty_result_set_value = 0


class RunSearch(models.QuerySet["Run"]):
    """Filters that give runs of their own queryset."""

    _bounds: tuple[tuple[str, int], ...] = ()

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]  # which the stubs do not know
        clone._bounds = self._bounds
        return clone

    def bounded(self, **bounds: int) -> Self:
        """Runs within bounds of their primary key, as `pk__lt`. `in_status` says them of the live rows, too: no planner
        carries them over, and would read those from their end."""
        runs = self.filter(**bounds)
        runs._bounds = (*self._bounds, *bounds.items())
        return runs

    def since(self, moment: datetime) -> Self:
        """Runs invoked at `moment` (UTC) or later. created_at has no index; ids grow with time, and the first
        run of that time is found through its time-ordered uid."""
        return self.bounded(pk__gte=self._first_since(moment - SKEW)).filter(created_at__gte=moment)

    def until(self, moment: datetime) -> Self:
        """Runs invoked at `moment` (UTC) or earlier; the other end of `since`, found in the same way."""
        return self.bounded(pk__lt=self._first_since(moment + SKEW)).filter(created_at__lte=moment)

    def _first_since(self, moment: datetime) -> int:
        """The primary key of the first run with an id of that time. Asked beforehand, in a statement of its own: a
        planner that does not know how much lies behind it reads too much."""
        later = self.model.objects.filter(uid__gte=first_uid(moment)).order_by("uid")
        return later.values_list("pk", flat=True).first() or HIGHEST_PK

    def waking(
        self, *, environment: Environment, after: datetime | None = None, before: datetime | None = None
    ) -> Self:
        """Waiting runs of the environment that are due at `after` (UTC) or later, and earlier than `before`. One
        statement of its own finds or counts them: many are met soon by reading newest first, as for `found_by`."""
        live_run: Any = self.model._meta.get_field("live").related_model
        bounds = {"due_at__gte": after, "due_at__lt": before}
        given = {name: value for name, value in bounds.items() if value is not None}
        waiting = live_run.objects.filter(
            environment=environment, state=RunStatus.WAITING, awaits=None, **given
        )
        found = list(waiting.values_list("pk", flat=True)[: FEW + 1])
        if len(found) <= FEW:
            return self.filter(pk__in=found if len(found) <= NAMED else waiting.values("pk"))
        asked = models.Q(live__state=RunStatus.WAITING, live__awaits=None)
        asked &= models.Q(**{f"live__{name}": value for name, value in given.items()})
        unfinished = self.filter(status__isnull=True, live__environment=environment)
        return unfinished.filter(models.Case(models.When(asked, then=True), default=False))

    def called_off_by(self, uid: UUID, *, environment: Environment) -> Self:
        """The runs that the environment's cancellation of that id has called off, archived or not."""
        cancellation = Cancellation.objects.filter(environment=environment, pk=uid).first()
        if cancellation is None:
            return self.none()
        live_run: Any = self.model._meta.get_field("live").related_model
        live = live_run.objects.filter(environment=environment)
        bars = [cancellation] if cancellation.swept_at is None else []
        kinds = [
            self.model.objects.filter(cancellation=uid),
            live.filter(cancellation.scope.condition(), cancellation=uid),
            live.filter(BORN, cancellation=uid),
            *([live.filter(reached(bars, environment=environment))] if bars else []),
        ]
        return self._one_of(kinds)

    def with_id(self, prefix: str) -> Self:
        """Runs whose id is, or begins with, `prefix`. ValueError for what no id begins with."""
        if (bounds := _uid_bounds(prefix)) is None:
            raise ValueError("an id has up to 32 of 0-9 a-f")
        return self.filter(uid__range=bounds)

    def following(self, *, key: str, environment: Environment) -> Self:
        """Runs of the environment's automation with that key; one statement of its own counts.

        Those of a busy automation are met soon by the other filters, through whose indexes they are read.
        """
        runs = self.model.objects.filter(environment=environment, automation=models.OuterRef("pk")).values(
            "pk"
        )
        counted = CappedCount(runs[: FEW + 1])
        automation = environment.automations.filter(key=key).values_list("pk", counted).first()
        if automation is None:
            return self.none()
        pk, count = automation
        mine = models.Q(automation=pk)
        return self.filter(mine if count <= FEW else models.Case(models.When(mine, then=True), default=False))

    def of_journeys(self, environment: Environment) -> Self:
        """Runs that came through Courier's journeys; one statement of its own counts, as for `following`."""
        journeys = Invocation.objects.filter(environment=environment, dialect=JOURNEYS)
        if journeys[: FEW + 1].count() <= FEW:
            return self.filter(invocation__in=journeys.values("pk"))
        return self.filter(Exact(_DIALECT, JOURNEYS))

    def not_of_journeys(self) -> Self:
        """All others, told apart one by one: few are passed over where journeys are few."""
        return self.exclude(Exact(_DIALECT, JOURNEYS))

    def found_by(
        self, text: str, *, environment: Environment, fields: Sequence[str] = SEARCHED, whole: bool = False
    ) -> Self:
        """Runs with a field that begins with `text`, or is it (`whole`). The field `id` needs 8 characters, or is
        written as it is shown: the first 8, `…` (or three dots), and the last ones; `key` is the run's key, and the
        idempotency key, whole, of its invocation. Statements of its own count.

        They are fetched through the index of each column, which no planner does reliably for an OR. Many that
        are met soon by reading newest first, from some run on, are not sorted all: then a CASE hides the indexes.
        """
        runs, lookup = self.model.objects, "exact" if whole else "has_prefix"
        conditions = [models.Q(**{f"{name}__{lookup}": text}) for name in fields if name != "id"]
        kinds = [runs.filter(condition, environment=environment) for condition in conditions]
        capped = (CappedCount(kind.values("pk")[: FEW + 1]) for kind in kinds)
        few = max(Environment.objects.filter(pk=environment.pk).values_list("pk", *capped).get()[1:]) <= FEW
        found = []
        if "key" in fields:
            invocations = Invocation.objects.filter(environment=environment, idempotency_key=text)
            found.append(runs.filter(invocation__in=invocations.values("pk")))
        if "id" in fields and (identified := _identified(text)) is not None:
            found.append(runs.filter(identified))
        start = None if few else self._met_from(reduce(or_, conditions), [*kinds, *found], environment)
        among = [runs.none(), *found, *(kinds if start is None else [])]
        first, *others = (found_runs.values("pk") for found_runs in among)
        condition = models.Q(pk__in=first.union(*others, all=True))
        if start is None:
            return self.filter(condition)
        anything = reduce(or_, conditions, condition)
        return self.bounded(pk__lte=start).filter(
            models.Case(models.When(anything, then=True), default=False)
        )

    def _met_from(
        self, condition: models.Q, kinds: Sequence[models.QuerySet[Run]], environment: Environment
    ) -> int | None:
        """The primary key from which reading newest first meets at once as many runs of the condition as a page and
        its counts want: that of the newest run of all, or of the newest of these kinds; None where neither does."""
        mine = self.model.objects.filter(environment=environment)
        # Through the index of what they have in common SQLite would begin at the oldest.
        hidden = models.Case(models.When(condition, then=True), default=False)

        def soon(start: int) -> bool:
            return mine.filter(hidden, pk__lte=start, pk__gt=start - LOOKED_AT)[:MET].count() == MET

        if soon(newest := mine.newest_pk()):
            return newest
        # As a sum: for the key itself a planner would read newest first.
        highest = models.Max(models.F("pk") + 0)
        tops = [
            models.Subquery(kind.order_by().values("environment").annotate(top=highest).values("top"))
            for kind in kinds
        ]
        found = Environment.objects.filter(pk=environment.pk).values_list(*tops).get()
        top = max(pk or 0 for pk in found)
        return top if soon(top) else None

    def in_status(
        self,
        status: str,
        *,
        environment: Environment,
        most: int,
        bars: Sequence[Cancellation],
        order: str = "-pk",
    ) -> Self:
        """The environment's runs whose public status it is, archived or not, found in every case through an
        index. Apply it last; it gives at least the first `most` by `order` of the runs filtered before. `bars` are
        those that stand in the environment: a run under one is cancelled, whatever its row says.

        Running rows are due by construction, so the index on due_at finds them.
        """
        kinds = self._kinds(status, environment=environment, bars=bars)
        return kinds[0] if len(kinds) == 1 else self._one_of(kind.order_by(order)[:most] for kind in kinds)

    def count_in_status(
        self, status: str, *, environment: Environment, most: int, bars: Sequence[Cancellation]
    ) -> CappedCount:
        """How many of these runs `in_status` has, counted up to `most`, for a query of the caller's."""
        kinds = self._kinds(status, environment=environment, bars=bars)
        first, *others = (kind.order_by().values("pk") for kind in kinds)
        return CappedCount((first.union(*others, all=True) if others else first)[:most])

    def _kinds(self, status: str, *, environment: Environment, bars: Sequence[Cancellation]) -> list[Self]:
        """The runs of that status, each kind of them found in a way of its own; none is in two of them.

        Cancelled runs that are not archived yet are found as housekeeping finds them, by their cancellation's own
        filter.
        """
        unfinished = self.filter(status__isnull=True, live__environment=environment)
        unfinished = unfinished.filter(*(models.Q((f"live__{name}", pk)) for name, pk in self._bounds))
        if status in (RunStatus.RUNNING, RunStatus.WAITING):
            unfinished = unfinished.filter(live__state=status)
            if status == RunStatus.RUNNING:
                unfinished = unfinished.filter(live__due_at__lte=Now())
            return [spared(unfinished, bars=bars, environment=environment, of="live__")]
        archived = self.filter(status=status)
        if status != RunStatus.CANCELLED:
            return [archived]
        unarchived = Cancellation.objects.filter(environment=environment, archived_at__isnull=True)
        pending = list(unarchived.order_by().only("filter")[: MANY + 1])
        if not pending:
            return [archived]
        given = models.Q(live__cancellation__isnull=False)
        barred = _any_of(bars)  # in whatever state: they call it off, or somebody has
        swept = _about(row for row in pending if row not in bars) if len(pending) <= MANY else models.Q()
        alone, born = (unfinished.filter(live__parent__isnull=is_null) for is_null in (True, False))
        if not bars:
            return [archived, alone.filter(given, swept), born.filter(given)]
        through = through_parents(bars, environment=environment, of="live__")
        return [
            archived, alone.filter(barred), alone.filter(given, swept).exclude(barred),
            born.filter(given | barred | through),
        ]  # fmt: skip

    def _one_of(self, kinds: Iterable[models.QuerySet[Any]]) -> Self:
        """The runs among these, each kind found in a way of its own."""
        first, *others = (self.model.objects.filter(pk__in=kind.values("pk")).values("pk") for kind in kinds)
        return self.filter(pk__in=first.union(*others, all=True))


def _about(cancellations: Iterable[Cancellation]) -> models.Q:
    """What `_any_of` these covers, and perhaps more with a token or a key of theirs: those which say nothing else are
    asked for at once, since a condition for each of a hundred takes longer to compose than to answer."""
    labels: set[str | None] = set()
    keys: set[str | None] = set()
    others = []
    for cancellation in cancellations:
        scope = cancellation.scope
        if scope.is_plain and scope.run_pks is None:
            (labels if scope.token is not None else keys).add(scope.token or scope.key)
        else:
            others.append(cancellation)
    labelled = models.Q(live__token__in=labels) | models.Q(live__key__in=labels | keys)
    return _any_of(others) | labelled if labels or keys else _any_of(others)


def _any_of(cancellations: Iterable[Cancellation]) -> models.Q:
    """Over runs with their live rows: what one of these is for."""
    scopes = (cancellation.scope.condition(of="live__") for cancellation in cancellations)
    return reduce(or_, scopes, models.Q(pk__in=[]))


def _identified(text: str) -> models.Q | None:
    """The condition that an id begins with `text`, or is it in short; None for what no id is looked for by."""
    first, dots, last = text.lower().replace("...", "…").partition("…")
    if len(first) < LEAST_DIGITS or (bounds := _uid_bounds(first)) is None:
        return None
    condition = models.Q(uid__range=bounds)
    if not dots:
        return condition
    if not 1 <= len(last) <= LAST_DIGITS or not _HEX.issuperset(last):
        return None
    return condition & models.Q(EndsWith(Cast("uid", models.TextField()), last))


def _uid_bounds(text: str) -> tuple[UUID, UUID] | None:
    """The lowest and highest uid that begin with `text`, dashes and case aside; None when none can."""
    digits = text.replace("-", "").lower()
    if not 1 <= len(digits) <= 32 or not _HEX.issuperset(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
