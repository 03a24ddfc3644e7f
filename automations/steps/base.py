"""What an effect step is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from automations.definition import Step
from automations.expressions import Scope
from automations.models import About, Answers, Question, Refusal, answers

Ask = Callable[[Sequence[Question]], Answers]
"""Looks up what a step needs of the database; threads that have no connection hand it to one that has."""


def owner_of(environment_id: int) -> str:
    """Whose expressions those of an environment's runs are: its endless ones neither break another environment's nor
    keep it from an evaluator."""
    return f"{environment_id}/runs"


class Refused(Exception):
    """A record step that cannot be carried out as things stand; nothing of its transaction was written."""

    def __init__(self, step: Step, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.step = step
        self.refusal = refusal


class Attempt(NamedTuple):
    """One attempt of one step. `run` is the run's public id and `run_id` its primary key, `number` says which
    attempt it is (1 is the first); `deadline` is a time.monotonic() value, hard. `ask` looks things up."""

    run: str
    run_id: int
    environment_id: int
    number: int
    recipient: str | None
    scope: Scope
    deadline: float
    ask: Ask = answers

    @property
    def owner(self) -> str:
        """Whose expressions its are; see `owner_of`."""
        return owner_of(self.environment_id)

    def look_up(self, about: About, name: str = "") -> Any:
        """The answer to one question."""
        question = Question(about, self.environment_id, name)
        return self.ask([question])[question]


class Outcome(NamedTuple):
    """What came of an attempt: completed with `output`, skipped for a reason, or failed with `error`
    ({kind, message, ...}), which is worth another try if `retryable`. Starved: none was made, for want of an
    evaluator."""

    status: str
    output: Any = None
    error: dict[str, Any] | None = None
    reason: str | None = None
    retryable: bool = False
    warnings: Sequence[str] = ()

    @classmethod
    def failed(cls, kind: str, message: str, *, retryable: bool, **detail: Any) -> Outcome:
        """A failure that says what went wrong."""
        error = {"kind": kind, "message": message[:1000], **detail}
        return cls(status="failed", error=error, retryable=retryable)
