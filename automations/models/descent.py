"""Which runs a cancel reaches through which: a child is called off with every run that it was started by or under."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db import connection, models
from django.db.models import Q

from automations.models.cancellation import Cancellation, covered
from automations.models.environment import Environment
from automations.models.kept import Kept
from automations.models.statements import Statement, fetch

if TYPE_CHECKING:
    from automations.models.live_run import LiveRun

PARENT_CANCELLED = "parent_cancelled"
BORN = Q(parent__isnull=False)
CHILDREN = (
    "SELECT EXISTS (SELECT 1 FROM automations_liverun WHERE environment_id = %s AND parent_id IS NOT NULL)"
)
LINEAGE = """
WITH RECURSIVE lineage(id, parent_id, depth) AS (
    SELECT id, parent_id, 1 FROM automations_run WHERE id = %s
    UNION ALL
    SELECT r.id, r.parent_id, l.depth + 1 FROM automations_run r JOIN lineage l ON r.id = l.parent_id
    WHERE l.depth < %s
)
SELECT count(*) FROM lineage
"""


class Descent(models.Model):
    """One row for each run above a child, at any distance, as far as `on_parent_cancel: leave` does not cut it off.

    Written with the child and kept, so that neither the end of a run in the middle nor its archiving cuts the
    tree.
    """

    ancestor = models.ForeignKey(
        "automations.Run", on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    run = models.ForeignKey(
        "automations.Run", on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ancestor", "run"], name="descent_unique")]
        indexes = [models.Index(fields=["run"], name="descent_run")]

    def __str__(self) -> str:
        return f"{self.run_id} under {self.ancestor_id}"


def ancestors_of(run_id: int) -> list[int]:
    """The runs through which a cancel reaches this one, the oldest first."""
    above = Descent.objects.filter(run=run_id).order_by("ancestor")
    return list(above.values_list("ancestor", flat=True))


def generation_of(run_id: int, *, most: int) -> int:
    """How many runs one after the other led to this one, itself included; counted up to `most`."""
    (((count,),),) = fetch([(LINEAGE, [run_id, most])])
    return int(count)


def children_exist(environment_id: int) -> Statement:
    """The statement that asks whether any unfinished run of the environment is a child."""
    return Kept(CHILDREN, [environment_id])


def children_and_moment(environment_id: int) -> Statement:
    """The same statement, which on PostgreSQL also says what time it is as it is carried out."""
    text, values = children_exist(environment_id)
    return Kept(f"{text}, {'clock_timestamp()' if connection.vendor == 'postgresql' else 'NULL'}", values)


def has_children(environment: Environment | int) -> bool:
    """Its answer."""
    pk = environment if isinstance(environment, int) else environment.pk
    (((found,),),) = fetch([children_exist(pk)])
    return bool(found)


def beneath(above: models.QuerySet[LiveRun]) -> Q:
    """Over LiveRun: the unfinished children, at any depth, of these unfinished runs.

    Not correlated, so that it is looked up once however many rows are asked.
    """
    born = _live_runs().filter(BORN).values("pk")
    descents = Descent.objects.filter(run__in=born, ancestor__in=above.values("pk"))
    return Q(pk__in=descents.values("run"))


def kin() -> Q:
    """Over LiveRun: the runs with parents, and those with children that a cancel reaches through them."""
    return BORN | Q(models.Exists(Descent.objects.filter(ancestor=models.OuterRef("pk"))))


def reached(bars: Iterable[Cancellation], *, environment: Environment | int, of: str = "") -> Q:
    """Over LiveRun, or what is joined with it (`of`): the unfinished runs that these bars call off, swept or not,
    with their children."""
    bars = list(bars)
    return (
        covered(bars, of=of) | through_parents(bars, environment=environment, of=of)
        if bars
        else covered(bars)
    )


def through_parents(bars: Iterable[Cancellation], *, environment: Environment | int, of: str = "") -> Q:
    """Those of them that are called off with a run above them.

    Asked of each child that is met: a list of all that a bar is for would be made anew for every page.
    """
    above = _live_runs().filter(covered(bars), environment=environment)
    return Q(**{f"{of}state__in": ("waiting", "running")}) & below_one_of(above, of=of)


def below_one_of(above: models.QuerySet[LiveRun], *, of: str = "") -> Q:
    """Over LiveRun, or what is joined with it (`of`): the unfinished children, at any depth, of these unfinished runs,
    asked of each child that is met."""
    mine = models.Exists(above.filter(pk=models.OuterRef("ancestor")))
    # A CASE: what is joined PostgreSQL may look for among all unfinished runs, from the first on.
    hidden = models.Case(models.When(mine, then=True), default=False)
    descents = Descent.objects.filter(hidden, run=models.OuterRef("pk"))
    return Q(**{f"{of}parent__isnull": False}) & Q(models.Exists(descents))


def spared(
    rows: models.QuerySet[Any], *, bars: Iterable[Cancellation], environment: Environment | int, of: str = ""
) -> Any:
    """Of these waiting or running runs, LiveRun's rows or what is joined with them (`of`), those that no bar calls
    off. What a bar over everything left is found without passing over all that it calls off."""
    bars = list(bars)
    of_all = [bar.scope.up_to or 0 for bar in bars if bar.scope.is_of_all]
    rows = rows.filter(pk__gt=max(of_all)) if of_all else rows
    return rows.exclude(reached(bars, environment=environment, of=of)) if bars else rows


def _live_runs() -> Any:
    run: Any = Descent._meta.get_field("run").related_model
    return run._meta.get_field("live").related_model.objects
