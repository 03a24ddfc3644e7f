"""DBOS: durable workflows on a queue, enqueued with a delay, many in one transaction."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version

import dbos  # type: ignore[import-not-found]
import psycopg

from tests.bench.peers.programs.step import STORE, Item, serve, stamp

UNFINISHED = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('DELAYED', 'ENQUEUED', 'PENDING')"


def perform(item: Item) -> None:
    stamp(item["index"])


def launch(name: str) -> None:
    """This process as one of its executors."""
    dbos.DBOS(
        config={
            "name": "bench", "system_database_url": STORE, "log_level": "ERROR", "run_admin_server": False,
            "application_version": "1", "executor_id": name,
        }
    )  # fmt: skip
    dbos.DBOS.workflow(name="step")(perform)
    dbos.DBOS.launch()
    dbos.DBOS.register_queue("bench", worker_concurrency=50, polling_interval_sec=0.05)


def options(item: Item) -> dict[str, object]:
    given: dict[str, object] = {
        "workflow_name": "step",
        "queue_name": "bench",
        "workflow_id": f"{item['index']}-{item['due']}" if "token" not in item else f"step-{item['index']}",
    }
    delay = item["due"] - time.time()
    return {**given, "delay_seconds": delay} if delay > 0 else given


def main() -> None:
    if sys.argv[1] == "work":
        launch(f"worker{sys.argv[2]}")
        signal.pause()
    launch("migration")
    dbos.DBOS.destroy()
    client = dbos.DBOSClient(system_database_url=STORE)
    watch = psycopg.connect(STORE, autocommit=True)

    many: list[str] = []  # what an application has to keep of its own: there are no tokens

    def create(items: Sequence[Item]) -> None:
        for start in range(0, len(items), 1000):
            with client._sys_db.engine.begin() as transaction:
                for item in items[start : start + 1000]:
                    client.enqueue_in_transaction(transaction, options(item), item)

        many.extend(f"step-{item['index']}" for item in items if item.get("token") == "many")

    def left() -> int:
        row = watch.execute(UNFINISHED).fetchone()
        return int(row[0]) if row else 0

    def cancel_many() -> None:
        """In parts: a statement may have 65,535 parameters."""
        for start in range(0, len(many), 10_000):
            client.cancel_workflows(many[start : start + 10_000])

    serve(
        version=version("dbos"), create=create, left=left,
        cancel=lambda index: client.cancel_workflow(f"step-{index}"), cancel_many=cancel_many,
    )  # fmt: skip


if __name__ == "__main__":
    main()
