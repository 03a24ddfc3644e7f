"""What a chaos run leaves behind, for the checker to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a run left behind.

    `history` as History notes it; `receipts` the sink's lines; `runs` {id, token, key, source, status, reason,
    created and finished (wall, seconds), cancellation, live, parent, automation}; `cancellations` {id, actor,
    runs, in_flight, filter, as_of, until (of a hold), undone, bar}; `audit`, in the order of the writes, {run, table,
    old, new, at (wall), finish}: `run` is the public id, `table` run or live, and `finish` tells that a worker wrote
    back what it had done.
    """

    history: Sequence[Entry]
    receipts: Sequence[Entry]
    runs: Sequence[Entry]
    cancellations: Sequence[Entry]
    audit: Sequence[Entry]


def entries(history: Sequence[Entry], what: str, phase: str) -> list[Entry]:
    """What was noted of that, at that phase."""
    return [entry for entry in history if entry["what"] == what and entry["phase"] == phase]
