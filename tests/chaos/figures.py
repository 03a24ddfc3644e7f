"""What a chaos run measured, for people to read."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import quantiles
from typing import Any

from tests.chaos import holds
from tests.chaos.evidence import Evidence, entries


def figures_of(evidence: Evidence, *, listed: int, apart: int) -> dict[str, Any]:
    """By name; `listed` and `apart` count effects that the checker has sorted out."""
    history, receipts = evidence.history, evidence.receipts
    acks = entries(history, "cancel", "ack")
    effects = len({(receipt["run"], receipt["step"]) for receipt in receipts})
    drain = [entry["t"] for entry in history if entry["what"] == "drain"]
    return {
        "faults": dict(Counter(entry["kind"] for entry in entries(history, "fault", "inject"))),
        "faults not injected": len(entries(history, "fault", "failed")),
        "runs": len(evidence.runs),
        "statuses": dict(Counter(run["status"] for run in evidence.runs)),
        "invokes acknowledged": len(entries(history, "invoke", "ack")),
        "invokes unknown": len(entries(history, "invoke", "unknown")),
        "cancels acknowledged": len(acks),
        "holds acknowledged": len(entries(history, "hold", "ack")),
        "runs held": sum(run.get("reason") == holds.HELD for run in evidence.runs),
        "cancels unknown": len(entries(history, "cancel", "unknown")),
        "undos acknowledged": len(entries(history, "undo", "ack")),
        "runs moved by acknowledged cancels": sum(len(ack["runs"]) for ack in acks),
        "in-flight lists not empty, %": _percent(sum(bool(ack["in_flight"]) for ack in acks), len(acks)),
        "effects": effects,
        "duplicates with the same key": len(receipts) - effects,
        "effects after an acknowledged cancel, listed": listed,
        "effects past the deadline of a frozen process": apart,
        "recovery, s": _recoveries(evidence),
        "longest pause between finishes, s": _longest_pause(evidence),
        "lateness of starts, s": spread([receipt["late"] for receipt in receipts]),
        "drain, s": round(drain[-1] - drain[0], 1) if len(drain) > 1 else None,
    }


def _recoveries(evidence: Evidence) -> dict[str, Any]:
    """From the end of each fault to the next finish, in all and by kind."""
    finishes = _finishes(evidence)
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for entry in entries(evidence.history, "fault", "heal"):
        following = bisect_right(finishes, entry["wall"])
        if following < len(finishes):
            for kind in ("all", entry["kind"]):
                seconds[kind].append(finishes[following] - entry["wall"])
    return {kind: spread(values) for kind, values in seconds.items()}


def _longest_pause(evidence: Evidence) -> float:
    """While there was load."""
    invokes = [entry["wall"] for entry in entries(evidence.history, "invoke", "begin")]
    finishes = [at for at in _finishes(evidence) if invokes and at <= invokes[-1]]
    pauses = (later - earlier for earlier, later in pairwise(finishes))
    return round(max(pauses, default=0.0), 2)


def _finishes(evidence: Evidence) -> list[float]:
    return sorted(row["at"] for row in evidence.audit if row["finish"])


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median, 99th percentile and most; None where there are no values."""
    if not values:
        return None
    cuts = quantiles(values if len(values) > 1 else [*values, *values], n=100, method="inclusive")
    return {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3), "max": round(max(values), 3)}


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
