"""Which definitions have a rule for which event, so that an event finds its runs without reading the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import models
from django.db.models import Exists, OuterRef

from automations.definition import EVENT_LENGTH, Definition
from automations.models.automation import Automation, Version
from automations.models.definitions import definition_of
from automations.models.environment import Environment
from automations.models.invocation import Invocation
from automations.models.live_run import LiveRun, LiveState
from automations.models.run import Run
from automations.models.statements import insert

UNFINISHED = (LiveState.WAITING, LiveState.RUNNING)
LOOKED_AT_ONCE = 5_000


class ListenerQuerySet(models.QuerySet["Listener"]):
    def runs_to_ask(
        self, *, environment_id: int, event: str, recipient: str | None, as_of_run: int, most: int
    ) -> list[int]:
        """Primary keys, in order, of unfinished runs up to `as_of_run` whose definitions have a rule for that
        event; of that recipient alone, if there is one. At most `most` of either kind of definition."""
        mine = self.filter(environment=environment_id, event=event)
        runs = LiveRun.objects.within(environment_id).filter(pk__lte=as_of_run, state__in=UNFINISHED)
        if recipient is not None:
            runs = runs.filter(recipient=recipient)
        versions = dict(mine.filter(version__isnull=False).values_list("version_id", "automation_id"))
        asked: list[int] = []
        if versions:
            of_versions = runs.filter(automation__in=set(versions.values()), run__version__in=versions)
            asked += of_versions.values_list("pk", flat=True)[:most]
        ad_hoc = mine.filter(invocation__isnull=False)
        if ad_hoc.exists():
            if recipient is None:
                runs = runs.filter(invocation__in=ad_hoc.values("invocation"))
            else:  # few runs, each of which may have a rule; among the rules, any number may be of other recipients
                runs = runs.filter(Exists(ad_hoc.filter(invocation=OuterRef("invocation"))))
            asked += runs.filter(automation=None).values_list("pk", flat=True)[:most]
        return sorted(asked)

    def forget(self, *, behind: int) -> int:
        """Drops those of invocations without unfinished runs among the next few thousand behind that primary key;
        the last one looked at, 0 at the end."""
        of_invocations = self.filter(pk__gt=behind, invocation__isnull=False).order_by("pk")
        looked_at = list(of_invocations.values_list("pk", flat=True)[:LOOKED_AT_ONCE])
        if not looked_at:
            return 0
        living = LiveRun.objects.filter(invocation=OuterRef("invocation"))
        self.filter(pk__in=looked_at).exclude(Exists(living)).delete()
        return looked_at[-1] if len(looked_at) == LOOKED_AT_ONCE else 0

    def renew(self, runs: Iterable[Run], *, environment: Environment) -> None:
        """Stores anew what their invocations' own definitions listen for, inside the transaction that lets these
        runs go on. Anew, since `forget` may be about to drop the rows there are."""
        brought = {run.invocation_id: run.invocation for run in runs if run.version_id is None}
        rules = {pk: one for pk, one in brought.items() if (one.definition or {}).get("cancel_on")}
        if not rules:
            return
        self.filter(invocation__in=rules).delete()
        for pk, invocation in rules.items():
            definition = definition_of(version_id=None, invocation_id=pk)
            insert(listeners_of(definition, environment=environment, invocation=invocation))


class Listener(models.Model):
    """One per event name and definition: of a published version, or one that an invocation brought."""

    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    event = models.CharField(max_length=EVENT_LENGTH)
    automation = models.ForeignKey(
        Automation, null=True, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    version = models.ForeignKey(
        Version, null=True, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    invocation = models.ForeignKey(
        Invocation, null=True, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )

    objects = ListenerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(version__isnull=False, automation__isnull=False, invocation__isnull=True)
                | models.Q(version__isnull=True, automation__isnull=True, invocation__isnull=False),
                name="listener_one_definition",
            ),
            models.UniqueConstraint(
                fields=["version", "event"],
                condition=models.Q(version__isnull=False),
                name="listener_version_once",
            ),
            models.UniqueConstraint(
                fields=["invocation", "event"],
                condition=models.Q(invocation__isnull=False),
                name="listener_invocation_once",
            ),
        ]
        indexes = [models.Index(fields=["environment", "event"], name="listener_event")]

    def __str__(self) -> str:
        return f"{self.event} -> {self.version_id or self.invocation_id}"


def listeners_of(
    definition: Definition, *, environment: Environment, **owner: models.Model
) -> Sequence[Listener]:
    """What to store beside the definition: one for each event that its rules name."""
    events = dict.fromkeys(rule.event for rule in definition.cancel_on)
    return [Listener(environment=environment, event=event, **owner) for event in events]
