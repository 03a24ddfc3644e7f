"""Judges what cancels that hold did with the runs accepted after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]

HELD = "held_by_cancellation"


def escaped(history: Sequence[Entry], runs: Sequence[Entry], effects: Sequence[Entry]) -> Iterator[Entry]:
    """Runs invoked after a hold was acknowledged and accepted while it lasted, that it is for, and that were not
    cancelled or had an effect."""
    begun: dict[int, float] = {}
    invoked: dict[str, float] = {}
    for entry in history:
        if entry["what"] == "invoke" and entry["phase"] == "begin":
            begun.setdefault(entry["op"], entry["t"])
        if entry["what"] == "invoke" and entry["phase"] == "ack":
            invoked |= {run["id"]: begun[entry["op"]] for run in entry["runs"]}
    busy = {effect["run"] for effect in effects}
    for ack in history:
        if (ack["what"], ack["phase"]) != ("cancel", "ack") or ack.get("until") is None:
            continue
        for run in runs:
            was_there = invoked.get(run["id"], 0.0) > ack["t"] and run["created"] <= ack["until"]
            if (
                was_there
                and is_for(ack["filter"], run)
                and (run["status"] != "cancelled" or run["id"] in busy)
            ):
                yield {"run": run, "hold": ack}


def wrongly_held(
    runs: Sequence[Entry], cancellations: Sequence[Entry], effects: Sequence[Entry]
) -> Iterator[Entry]:
    """Runs born cancelled that had an effect, or whose cancellation did not hold then, or was for others."""
    busy = {effect["run"] for effect in effects}
    holds = {row["id"]: row for row in cancellations}
    for run in runs:
        if run.get("reason") != HELD:
            continue
        hold = holds.get(run["cancellation"], {})
        until = hold.get("until") or 0.0
        held = hold.get("as_of", 0.0) <= run["created"] <= until and is_for(hold["filter"], run)
        if not held or run["id"] in busy or run["status"] != "cancelled":
            yield {"run": run, "hold": hold}


def is_for(asked: Entry, run: Entry) -> bool:
    """Whether a filter by token or by key names the run."""
    if "token" in asked:
        return asked["token"] in (run["token"], run["key"])
    return bool(run["key"] == asked.get("key", object()))
