"""What the checker makes of cancels that were undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.evidence import Entry, Evidence


def undone(evidence: Evidence) -> dict[str, float]:
    """The cancellations that were undone, and when that was asked for first."""
    rows = {row["id"] for row in evidence.cancellations if row.get("undone")}
    begun: dict[str, float] = {}
    for entry in evidence.history:
        if (entry["what"], entry["phase"]) == ("undo", "begin") and entry["cancellation"] in rows:
            begun.setdefault(entry["cancellation"], entry["t"])
    return begun


def released(evidence: Evidence) -> frozenset[str]:
    """The runs that an undo let go on."""
    known = undone(evidence)
    return frozenset(run for row in evidence.cancellations if row["id"] in known for run in row["runs"])


def repeated(evidence: Evidence) -> Iterator[Entry]:
    """Effects after an undo of steps that were in flight at the cancel, by other attempts than those listed; unless
    the run was under way when its cancel was undone: then it has its retries."""
    known = undone(evidence)
    under_way = {
        row["run"] for row in evidence.audit if (row["old"], row["new"]) == ("cancelling", "running")
    }
    for ack in evidence.history:
        if (ack["what"], ack["phase"]) != ("cancel", "ack") or ack["cancellation"] not in known:
            continue
        listed = {tuple(entry) for entry in ack["in_flight"]}
        steps = {(run, step) for run, step, _ in listed if run not in under_way}
        for receipt in evidence.receipts:
            run, step, attempt = receipt["run"], receipt["step"], receipt["attempt"]
            is_another = (run, step) in steps and (run, step, attempt) not in listed
            if is_another and receipt["t"] > known[ack["cancellation"]]:
                yield receipt
