"""Who works: workers enlist, give signs of life, and are found dead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from automations.models import Environment, LiveRun, Worker, database_now

SETTLE_GRACE = timedelta(seconds=5)
UNREACHABLE_AFTER = timedelta(seconds=60)
FORGOTTEN_AFTER = timedelta(minutes=10)
IDLE_FOR = timedelta(seconds=30)


def enlist(*, name: str, host: str, pid: int) -> int:
    """The primary key of the worker process of that name, which has just given a sign of life."""
    now = database_now()
    given = {"host": host, "pid": pid, "seen_at": now}
    worker, _ = Worker.objects.update_or_create(
        name=name, defaults={"seen_at": now}, create_defaults={**given, "started_at": now}
    )
    return worker.pk


def beat(worker: int, *, worked: bool) -> bool:
    """A sign of life of the worker (primary key), and whether it started or finished steps since the last, or has no
    room for more; False when it is not on the list any more."""
    signs = {"seen_at": Now(), "worked_at": Now()} if worked else {"seen_at": Now()}
    return Worker.objects.filter(pk=worker).update(**signs) == 1


def alive_on(host: str) -> list[Worker]:
    """The workers of that machine not known to be dead."""
    return list(Worker.objects.filter(host=host, died_at=None))


def bury(workers: Iterable[Worker]) -> None:
    """These are dead: from now on nothing they had in hand can have an effect."""
    Worker.objects.filter(pk__in=[worker.pk for worker in workers]).update(died_at=database_now())


def overdue(workers: Iterable[Worker]) -> list[Worker]:
    """Those of the workers that have been silent since before the hard deadline of a step they lost."""
    now = database_now()
    by_pk = {worker.pk: worker for worker in workers}
    late = {}
    for lost in LiveRun.objects.filter(unsettled__isnull=False).values_list("unsettled", flat=True):
        for entry in lost or ():
            worker, deadline = by_pk.get(entry.get("worker")), datetime.fromisoformat(entry["deadline"])
            if worker is not None and worker.seen_at < deadline < now:
                late[worker.pk] = worker
    return list(late.values())


def is_idle_over_work() -> bool:
    """Whether steps have been due for half a minute, and no worker has started or finished any meanwhile or had its
    hands full."""
    then = database_now() - IDLE_FOR
    working = Worker.objects.filter(worked_at__gt=then).exists()
    overdue = LiveRun.objects.filter(environment=OuterRef("pk")).due(now=then)
    return not working and Environment.objects.filter(Exists(overdue)).exists()


def forget(*, now: datetime) -> None:
    """Workers long silent leave the list."""
    Worker.objects.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()


def of_attempts(entries: Iterable[Mapping[str, Any]]) -> dict[int, Worker]:
    """The workers that lost these unsettled attempts, by primary key."""
    return Worker.objects.in_bulk({entry["worker"] for entry in entries if entry.get("worker") is not None})


def has_ended(entry: Mapping[str, Any], workers: Mapping[int, Worker], *, now: datetime) -> bool:
    """Whether the lost attempt can have no effect any more: its worker is dead, or its hard deadline has passed
    for a worker that is awake, and so refuses to send, or that nobody can reach.

    A worker that is silent may be frozen between its check and its socket; its machine's watchdog kills it.
    """
    worker = workers.get(entry.get("worker") or 0)
    if worker is not None and worker.died_at is not None:
        return True
    deadline = datetime.fromisoformat(entry["deadline"])
    if deadline + SETTLE_GRACE >= now:
        return False
    return worker is None or worker.seen_at > deadline or worker.seen_at < now - UNREACHABLE_AFTER
