"""Translates statuses into Courier's words, and back."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from automations.models import RunStatus

_RUN = {
    RunStatus.WAITING: "WAITING",
    RunStatus.RUNNING: "PROCESSING",
    RunStatus.COMPLETED: "PROCESSED",
    RunStatus.FAILED: "ERROR",
    RunStatus.CANCELLED: "CANCELED",
}
_STEP = {
    "waiting": "WAITING",
    "running": "PROCESSING",
    "completed": "PROCESSED",
    "failed": "ERROR",
    "skipped": "SKIPPED",
    "cancelled": "CANCELED",
}


def run_status(status: str, reason: str) -> str:
    """A run's public status in Courier's words."""
    if status == RunStatus.SKIPPED:
        return "THROTTLED" if reason == "throttled" else "NOT PROCESSED"
    return _RUN[RunStatus(status)]


def step_status(status: str) -> str | None:
    """A step's status in Courier's words; None for one not reached, which Courier does not list."""
    return _STEP.get(status)


def statuses_named(words: Iterable[str]) -> Collection[str]:
    """The public statuses that Courier's words stand for. Its set is open, so unknown words name none."""
    ours = {word: status for status, word in _RUN.items()}
    ours |= {"THROTTLED": RunStatus.SKIPPED, "NOT PROCESSED": RunStatus.SKIPPED}
    return {ours[word] for word in words if word in ours}
