"""Plain django-q2 with its ORM broker: one Schedule per step, or one async_task, which cannot wait."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import dj_database_url
import django
from django.conf import settings
from django.core.management import call_command

from tests.bench.peers.programs.step import STORE, Item, serve, stamp

if not settings.configured:
    settings.configure(
        SECRET_KEY="bench",
        USE_TZ=True,
        INSTALLED_APPS=["django_q"],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DATABASES={"default": dj_database_url.parse(STORE, conn_max_age=None)},
        Q_CLUSTER={
            "name": "bench", "orm": "default", "workers": 2, "poll": 0.1, "bulk": 10, "queue_limit": 50,
            "timeout": 60, "retry": 120, "save_limit": 0, "recycle": 100_000, "log_level": "WARNING",
        },
    )  # fmt: skip
    django.setup()


def perform(item: Item) -> None:
    stamp(item["index"])


PERFORM = "tests.bench.peers.programs.django_q.perform"


def create(items: Sequence[Item]) -> None:
    from django_q.models import Schedule
    from django_q.tasks import async_task

    if os.environ.get("BY") == "async_task":
        for item in items:
            async_task(PERFORM, item)
        return
    moments = [datetime.fromtimestamp(item["due"], UTC) for item in items]
    Schedule.objects.bulk_create(
        Schedule(func=PERFORM, args=repr((item,)), schedule_type=Schedule.ONCE, repeats=-1, next_run=moment)
        for item, moment in zip(items, moments, strict=True)
    )


def left() -> int:
    from django_q.models import OrmQ, Schedule

    return int(Schedule.objects.count() + OrmQ.objects.count())


def main() -> None:
    if sys.argv[1] == "work":
        call_command("qcluster")
        return
    call_command("migrate", verbosity=0)
    serve(version=version("django-q2"), create=create, left=left)


if __name__ == "__main__":
    main()
