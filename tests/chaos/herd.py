"""`python -m tests.chaos.herd --runs 100000`: all overdue at the start; how fast they go, and who has to wait."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

from tests.chaos.checker import check
from tests.chaos.database import Postgres, Server, Sqlite
from tests.chaos.driver import Driver, definition
from tests.chaos.evidence import Evidence
from tests.chaos.figures import spread
from tests.chaos.harness import Plan, beside, drained, environment_of, started
from tests.chaos.history import History
from tests.chaos.sink import Sink

SHAPE = "delay,send"
AT_ONCE = 1_000  # recipients of one invocation
NEW_PER_SECOND, NEW_SECONDS = 20.0, 2.0  # the latter at least
LONGEST = 900.0  # seconds


def stampede(runs: int, *, server: Server | None) -> dict[str, Any]:
    """So many runs overdue by up to an hour when the workers come up, others invoked meanwhile:
    starts a second, lateness of the new ones in seconds, and what must be 0."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="herd-")))
        history = History(folder)
        stack.callback(history.close)
        sink = stack.enter_context(Sink(folder))
        database: Postgres | Sqlite = Postgres(server) if server else Sqlite(folder)
        stack.enter_context(database)
        plan = Plan(seed=1, seconds=0, pauses=0)
        environment = environment_of(plan, folder=folder, url=database.url) | {"LEASE_SECONDS": "15"}
        key = beside(environment, database.direct_url, "tests.chaos.records", "prepare")
        beside(environment, database.direct_url, "tests.chaos.herd", "--runs", str(runs), "--fill", sink.url)
        with started(folder, environment) as product:
            driver = Driver(
                url=product.url, key=key, sink=sink.url, history=history, seed=1, rate=NEW_PER_SECOND,
                cancels=0,
            )  # fmt: skip
            driver.publish()
            driver.start()
            _wait_until_gone(sink, runs)
            time.sleep(NEW_SECONDS)
            driver.stop()
            rows = drained(folder, environment, database.direct_url, history, patience=LONGEST)
        evidence = Evidence(history=history.entries, receipts=sink.receipts(), **rows)
        return _judged(evidence, runs)


def _judged(evidence: Evidence, runs: int) -> dict[str, Any]:
    new = {run["id"] for entry in evidence.history if entry["phase"] == "ack" for run in _runs(entry)}
    new |= {run["id"] for run in evidence.runs if str(run["source"]).startswith("run/")}  # born of others
    herd = [receipt["t"] for receipt in evidence.receipts if receipt["run"] not in new]
    late = [receipt["late"] for receipt in evidence.receipts if receipt["run"] in new]
    starts = Counter(row["run"] for row in evidence.audit if row["new"] == "running")
    overdue = [run["id"] for run in evidence.runs if run["id"] not in new]
    verdict = check(evidence)
    return {
        "overdue runs": len(overdue),
        "starts a second": round(len(herd) / (max(herd) - min(herd))),
        "new runs": len(new),
        "lateness of new runs, s": spread(late),
        "must be 0": {
            **verdict.counts,
            "overdue runs not started exactly once": sum(starts[run] != 1 for run in overdue),
            "overdue runs missing": runs - len(overdue),
        },
    }


def _runs(entry: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = entry["runs"] if entry["what"] == "invoke" else ()
    return found


def _wait_until_gone(sink: Sink, runs: int) -> None:
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        if sink.log.exists() and sink.log.read_bytes().count(b"\n") >= runs:
            return
        time.sleep(0.5)


def fill(runs: int, *, sink: str) -> None:
    """Invokes so many, a thousand at once, and moves their due times into the last hour."""
    from automations.models import LiveRun, database_now
    from tests.scenes import invoke

    steps = definition(SHAPE, sink=sink, javascript=False)["steps"]
    steps[0]["duration"] = "1 hour"
    for begun in range(0, runs, AT_ONCE):
        recipients = [f"late-{n}" for n in range(begun, min(runs, begun + AT_ONCE))]
        invoke(*steps, source=f"chaos/{SHAPE}", recipients=recipients, data={"group": 0, "other": 0})
        now = database_now()
        overdue = now - timedelta(seconds=3600 - 3600 * begun / runs)
        LiveRun.objects.filter(due_at__gt=now).update(due_at=overdue)


def main(arguments: Sequence[str] | None = None) -> int:
    """1 where anything that must be 0 is not, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.herd", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--sqlite", action="store_true", help="on SQLite instead of PostgreSQL")
    parser.add_argument("--fill", metavar="URL", help="only make the runs, for a sink there (internal)")
    asked = parser.parse_args(arguments)
    if asked.fill:
        django.setup()
        fill(asked.runs, sink=asked.fill)
        return 0
    with ExitStack() as stack:
        server = None if asked.sqlite else stack.enter_context(Server())
        figures = stampede(asked.runs, server=server)
    print(json.dumps(figures, indent=1))
    return int(any(figures["must be 0"].values()))


if __name__ == "__main__":
    sys.exit(main())
