"""Celery on Redis: tasks with a time of arrival; results are not kept, which is its fastest way."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import celery  # type: ignore[import-not-found]
import redis  # type: ignore[import-not-found]

from tests.bench.peers.programs.step import STORE, Item, serve, stamp

app = celery.Celery("bench", broker=STORE)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    broker_transport_options={"visibility_timeout": 7200},
    broker_connection_retry_on_startup=True,
)


def perform(item: Item) -> None:
    stamp(item["index"])


step = app.task(name="step")(perform)


def create(items: Sequence[Item]) -> None:
    """One message each: Celery has no way to send several."""
    with app.producer_or_acquire() as producer:
        for item in items:
            step.apply_async((item,), eta=datetime.fromtimestamp(item["due"], UTC), producer=producer)


def main() -> None:
    if sys.argv[1] == "work":
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
        app.worker_main(["worker", "--concurrency=1", f"--hostname=worker{sys.argv[2]}@bench", *quiet])
    client = redis.Redis.from_url(STORE)
    serve(
        version=celery.__version__,
        create=create,
        left=lambda: int(client.llen("celery")) + int(client.hlen("unacked")),
    )


if __name__ == "__main__":
    main()
