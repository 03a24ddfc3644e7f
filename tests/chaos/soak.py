"""`python -m tests.chaos.soak --minutes 60`: chaos for as long as asked, round after round, with a report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.chaos import decks
from tests.chaos.canary import storms
from tests.chaos.checker import Verdict
from tests.chaos.database import Server
from tests.chaos.faults import clock_library
from tests.chaos.harness import Plan, commit, run

ROUND_SECONDS = 150.0
KNOBS = ("seed", "load", "calm", "pauses")
MUTANTS = ("recheck", "unlisted")


def main(arguments: Sequence[str] | None = None) -> int:
    """1 where anything that must be 0 is not, or where a product known to be wrong passes; else 0."""
    asked = _asked(arguments)
    print(f"seed {asked.seed}", flush=True)
    if not asked.sqlite and clock_library() is None:
        print("NOT injected: a wrong clock. This helps: sudo apt-get install -y faketime", flush=True)
    given = {name: getattr(asked, name) for name in KNOBS}
    report: dict[str, Any] = {**_circumstances(), **given, "canaries": {}, "rounds": []}
    with ExitStack() as stack:
        server = None if asked.sqlite else stack.enter_context(Server(durable=True))
        for mutant in MUTANTS:
            report["canaries"][mutant] = caught = storms(mutant, seed=asked.seed, server=server)
            print(f"canary {mutant}: unlisted effects {caught}", flush=True)
        until = time.monotonic() + 60 * asked.minutes
        while (left := until - time.monotonic()) > 0:
            number = len(report["rounds"])
            verdict = _round(asked, number, min(left, ROUND_SECONDS), server)
            report["rounds"].append({"faults": verdict.counts, "figures": verdict.figures})
            print(f"round {number + 1}, {left / 60:.0f} min left: {_summary(verdict)}", flush=True)
            report |= _totals(report["rounds"])
            if asked.report:
                asked.report.write_text(json.dumps(report, indent=1))
    print(json.dumps({name: report[name] for name in ("must be 0", "figures")}, indent=1))
    return int(any(report["must be 0"].values()) or not all(map(any, report["canaries"].values())))


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    parser.add_argument("--load", type=int, default=1, help="times 20 invokes a second, of six clients")
    parser.add_argument("--calm", type=float, default=1.0, help="times the usual pause between two faults")
    parser.add_argument("--pauses", type=float, default=1.0, help="times the delays at the test points")
    parser.add_argument("--report", type=Path, help="where to write all figures, as JSON")
    parser.add_argument("--sqlite", action="store_true", help="on SQLite instead of PostgreSQL")
    return parser.parse_args(arguments)


def _round(asked: argparse.Namespace, number: int, seconds: float, server: Server | None) -> Verdict:
    deck = decks.POSTGRES if server else decks.SQLITE
    given = {name: getattr(asked, name) for name in KNOBS}
    return run(Plan(**given | {"seed": asked.seed + number}, seconds=seconds, deck=deck), server=server)


def _summary(verdict: Verdict) -> str:
    wrong = {name: count for name, count in verdict.counts.items() if count}
    figures = verdict.figures
    return (
        f"{sum(figures['faults'].values())} faults, {figures['runs']} runs, "
        f"{figures['cancels acknowledged']} cancels, recovery {figures['recovery, s'].get('all')}: {wrong or 'all 0'}"
    )


def _totals(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts added up; of times and percentages the worst round."""
    return {
        "must be 0": _merged([one["faults"] for one in rounds]),
        "figures": _merged([one["figures"] for one in rounds]),
    }


def _merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            before = merged.get(name)
            if isinstance(value, dict):
                merged[name] = _merged([before or {}, value])
            elif isinstance(value, int):
                merged[name] = (before or 0) + value
            else:
                merged[name] = max(before or 0.0, value or 0.0)
    return merged


def _circumstances() -> dict[str, Any]:
    return {
        "commit": commit(),
        "machine": f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


if __name__ == "__main__":
    sys.exit(main())
