"""A history made by hand, in which nothing is wrong until a test breaks something."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.chaos.checker import check
from tests.chaos.evidence import Evidence

UNLISTED = "unlisted effects after an acknowledged cancel"
HELD = "effects while their automation was held"
SETTLED = "effects after a settled acknowledgement"
LOST = "runs lost"
CHANGED = "forbidden changes of a state"
MISREPORTED = "cancelled runs not reported by exactly one cancellation"
MISSED = "runs that a cancel missed"


class Made:
    """A history of one run, `send, delay, send`, invoked at 1 and cancelled at 2 while its first step (sent at
    1.9) was in flight; every test breaks one thing of it."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = [
            self.entry(1.0, "invoke", "begin", op=1),
            self.entry(1.1, "invoke", "ack", op=1, runs=[{"id": "r"}]),
            self.entry(1.2, "invoke", "begin", op=2),
            self.entry(1.3, "invoke", "ack", op=2, runs=[{"id": "q"}]),
            self.entry(1.8, "cancel", "begin", op=3),
            self.entry(
                2.0, "cancel", "ack", op=3, cancellation="c", runs=["r"], in_flight=[["r", "s0", 1]],
                settled=False, filter={"token": "t"},
            ),
        ]  # fmt: skip
        self.receipts = [self.receipt(1.9), self.receipt(1.5, run="q"), self.receipt(3.0, run="q", step="s2")]
        self.runs: list[dict[str, Any]] = [
            {"id": "r", "token": "t", "key": None, "status": "cancelled", "finished": 2.0, "cancellation": "c"},
            {"id": "q", "token": "u", "key": None, "status": "completed", "finished": 3.1, "cancellation": None},
        ]  # fmt: skip
        for run in self.runs:
            run |= {"source": "chaos/send,delay,send", "live": None}
        self.cancellations: list[dict[str, Any]] = [
            {"id": "c", "actor": "key/chaos", "runs": ["r"], "in_flight": []}
        ]
        self.audit = [
            *self.path("r", None, "waiting", "running", "cancelling", "cancelled", None),
            *self.path("q", None, "waiting", "running", "waiting", "running", None),
            *self.path("r", None, "cancelled", table="run"),
        ]

    @staticmethod
    def entry(t: float, what: str, phase: str, **detail: Any) -> dict[str, Any]:
        return {"t": t, "wall": t, "what": what, "phase": phase, **detail}

    @staticmethod
    def receipt(t: float, **given: Any) -> dict[str, Any]:
        made = {"t": t, "run": "r", "step": "s0", "attempt": 1, "deadline": t + 2, "late": 0.01, **given}
        return {"key": f"{made['run']}:{made['step']}", **made}

    @staticmethod
    def path(run: str, *states: str | None, table: str = "live") -> list[dict[str, Any]]:
        """The audit of a row that went through these states."""
        return [
            {"run": run, "table": table, "old": old, "new": new, "at": 1.0, "finish": old == "running"}
            for old, new in pairwise(states)
        ]

    def found(self) -> list[str]:
        """The kinds of fault that the checker sees."""
        evidence = Evidence(
            history=self.history, receipts=self.receipts, runs=self.runs, cancellations=self.cancellations,
            audit=self.audit,
        )  # fmt: skip
        verdict = check(evidence)
        assert verdict.holds is (not any(verdict.counts.values()))
        return [name for name, count in verdict.counts.items() if count]
