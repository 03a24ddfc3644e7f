"""What an effect step is given and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from automations.expressions import Scope


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of one step. `run` is the run's public id; `deadline` a time.monotonic() value, hard."""

    run: str
    recipient: str | None
    scope: Scope
    deadline: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an attempt: completed with `output`, skipped for a reason, or failed with `error`
    ({kind, message, ...}), which is worth another try if `retryable`."""

    status: str
    output: Any = None
    error: dict[str, Any] | None = None
    reason: str | None = None
    retryable: bool = False
    warnings: Sequence[str] = field(default_factory=tuple)

    @classmethod
    def failed(cls, kind: str, message: str, *, retryable: bool, **detail: Any) -> Outcome:
        """A failure that says what went wrong."""
        error = {"kind": kind, "message": message[:1000], **detail}
        return cls(status="failed", error=error, retryable=retryable)
