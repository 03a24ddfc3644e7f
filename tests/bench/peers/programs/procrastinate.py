"""procrastinate: jobs with a schedule, deferred in batches by its job manager."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import procrastinate  # type: ignore[import-not-found]
import psycopg
from procrastinate.jobs import Job  # type: ignore[import-not-found]

from tests.bench.peers.programs.step import STORE, Item, serve, stamp

UNFINISHED = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"


async def perform(item: Item) -> None:
    stamp(item["index"])


async def work() -> None:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=STORE, min_size=2, max_size=12))
    app.task(name="step", queue="bench")(perform)
    async with app.open_async():
        await app.run_worker_async(queues=["bench"], concurrency=10, fetch_job_polling_interval=0.1)


def job(item: Item) -> object:
    return Job(
        id=None, queue="bench", lock=None, queueing_lock=None, task_name="step", priority=0,
        task_kwargs={"item": item}, scheduled_at=datetime.fromtimestamp(item["due"], UTC),
    )  # fmt: skip


def main() -> None:
    if sys.argv[1] == "work":
        asyncio.run(work())
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=STORE))
    app.open()
    app.schema_manager.apply_schema()
    watch = psycopg.connect(STORE, autocommit=True)

    def create(items: Sequence[Item]) -> None:
        for start in range(0, len(items), 1000):
            app.job_manager.batch_defer_jobs([job(item) for item in items[start : start + 1000]])

    def left() -> int:
        row = watch.execute(UNFINISHED).fetchone()
        return int(row[0]) if row else 0

    serve(version=version("procrastinate"), create=create, left=left)


if __name__ == "__main__":
    main()
