"""Translates statuses into Knock's words, and back."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q

from automations.machine import START
from automations.models import Run, RunStatus

_WORDS = {
    RunStatus.RUNNING: "processing",
    RunStatus.COMPLETED: "completed",
    RunStatus.FAILED: "completed",  # with an error count
    RunStatus.SKIPPED: "completed",
    RunStatus.CANCELLED: "cancelled",
}
WORDS = ("queued", "processing", "paused", "completed", "cancelled")
_NOT_BEGUN = Q(live__position=START, live__attempt=0)


def run_status(run: Run) -> str:
    """A run's public status in Knock's words: one that waits is queued before its first step, else paused."""
    status = RunStatus(run.public_status)
    if status != RunStatus.WAITING:
        return _WORDS[status]
    live = run.live_run
    return "queued" if live is not None and (live.position, live.attempt) == (START, 0) else "paused"


def statuses_named(words: Collection[str]) -> tuple[Collection[str], dict[str, Q]]:
    """The public statuses that Knock's words stand for, and a condition on the runs of some of them."""
    found = {status for status, word in _WORDS.items() if word in words}
    waiting = {"queued", "paused"}.intersection(words)
    if not waiting:
        return found, {}
    condition = {"queued": _NOT_BEGUN, "paused": ~_NOT_BEGUN}
    narrowed: dict[str, Q] = {} if len(waiting) == 2 else {RunStatus.WAITING: condition[waiting.pop()]}
    return {*found, RunStatus.WAITING}, narrowed
