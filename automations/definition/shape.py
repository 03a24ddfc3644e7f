"""What a definition is once it is read: frozen dataclasses, one per action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar

DEFAULT_TIMEOUT = timedelta(seconds=30)


class Kind(StrEnum):
    """How a step is carried out (docs/architecture.md)."""

    PURE = "pure"  # folded into the transition before it
    RECORD = "record"  # in the same transaction as its transition: exactly once
    EFFECT = "effect"  # outside any transaction: at least once, always with the same idempotency key


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often an effect is tried, and how long to wait between tries: `interval`, doubled each time if
    exponential, never more than an hour."""

    max_attempts: int = 3
    backoff: str = "exponential"
    interval: timedelta = timedelta(seconds=5)

    def pause(self, *, attempt: int) -> timedelta:
        """The wait after the failed `attempt` (1 is the first)."""
        factor = 2 ** min(attempt - 1, 20) if self.backoff == "exponential" else 1
        return min(self.interval * factor, timedelta(hours=1))


@dataclass(frozen=True, kw_only=True)
class Step:
    """`position` is the step's place in the definition ("0", "1", ...); `timeout` its hard deadline. `on_crash`
    says whether an attempt whose worker was lost is made again ("retry") or ends the run ("fail")."""

    action: ClassVar[str]
    kind: ClassVar[Kind]

    position: str
    id: str | None = None
    ref: str | None = None
    condition: str | None = None
    timeout: timedelta = DEFAULT_TIMEOUT
    retry: Retry = field(default_factory=Retry)
    on_crash: str = "retry"

    @property
    def name(self) -> str:
        """What events, receipts and idempotency keys call it: its id, else its position."""
        return self.id or self.position


@dataclass(frozen=True, kw_only=True)
class Send(Step):
    """A message to one recipient: its `title` and `body` inline, or the key of a message template (None otherwise).

    `recipient` is an expression, None for the run's own; `to` is {} where the profile has the address. `data` and
    `profile` are laid over the run's for what is said; `override` holds the `title` and `body` said instead.
    """

    action: ClassVar[str] = "send"
    kind: ClassVar[Kind] = Kind.EFFECT

    title: str = ""
    body: str = ""
    to: Mapping[str, Any] | None = None
    channel: str | None = None
    template: str | None = None
    recipient: str | None = None
    data: Mapping[str, Any] | str | None = None
    profile: Mapping[str, Any] | str | None = None
    override: Mapping[str, Any] | None = None

    @cached_property
    def worded(self) -> Mapping[str, Any]:
        """What of the step goes with its words and may hold expressions, by its name here."""
        names = ("to", "data", "profile", "override")
        return {name: said for name in names if (said := getattr(self, name)) not in (None, "")}


@dataclass(frozen=True, kw_only=True)
class SendList(Send):
    """The same to every member of the list whose key `list_key` (an expression) gives; `to` and `recipient` are
    empty, since each member has its own."""

    action: ClassVar[str] = "send-list"

    list_key: str


@dataclass(frozen=True, kw_only=True)
class Delay(Step):
    """Either a duration or a moment; each may be an expression. `passed_over`: as if it were not there."""

    action: ClassVar[str] = "delay"
    kind: ClassVar[Kind] = Kind.PURE

    duration: str | None = None
    until: str | None = None
    passed_over: bool = False


@dataclass(frozen=True, kw_only=True)
class Cancel(Step):
    """Cancels the runs whose token or key is what `token` resolves to, or the run `run_id`, or what `filter` matches
    (its texts, as those, may be expressions); and those accepted for `hold_for` afterwards."""

    action: ClassVar[str] = "cancel"
    kind: ClassVar[Kind] = Kind.RECORD

    token: str | None = None
    run_id: str | None = None
    filter: Mapping[str, str | tuple[str, ...]] | None = None
    include_self: bool = False
    reason: str = ""
    hold_for: timedelta | None = None
    undo_for: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Invoke(Step):
    """Starts a run of the automation that `template` names by key or alias, as a child of this run. Data, profile
    and recipient are the parent's where they are None; of another recipient, the profile that is stored.

    With `wait` the run goes on once the child has ended. Without `follows` the child is left alone when the run is
    cancelled.
    """

    action: ClassVar[str] = "invoke"
    kind: ClassVar[Kind] = Kind.RECORD

    template: str
    data: Mapping[str, Any] | None = None
    profile: Mapping[str, Any] | None = None
    recipient: str | None = None
    wait: bool = False
    follows: bool = True


@dataclass(frozen=True, kw_only=True)
class UpdateProfile(Step):
    """Lays `profile`, whose texts may be expressions, over what is stored of `recipient` (an expression; None is the
    run's own), in the way that `merge` names (see `merged`)."""

    action: ClassVar[str] = "update-profile"
    kind: ClassVar[Kind] = Kind.RECORD

    profile: Mapping[str, Any]
    recipient: str | None = None
    merge: str = "overwrite"


@dataclass(frozen=True, kw_only=True)
class Unreadable(Step):
    """What stands wherever a run may be whose definition cannot be read any more: it fails for that reason."""

    action: ClassVar[str] = "unreadable"
    kind: ClassVar[Kind] = Kind.EFFECT

    fault: str


@dataclass(frozen=True, kw_only=True)
class CancelRule:
    """An event of that name cancels the run, if it is younger than `within`, the event's data and its own agree
    at the path `match`, and `condition` is true."""

    event: str
    condition: str | None = None
    match: tuple[str, ...] | None = None
    within: timedelta | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """What becomes of a run while another of the same key has not finished; `key` is an expression."""

    key: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A whole automation. `source` is what it was read from, in our own spelling, fit for storing: parsed again it
    gives an equal definition. `on_cancel` is the key of the automation to invoke when a run of it is cancelled, `fault`
    why nothing else of it is known (see `parse_kept`)."""

    steps: tuple[Step, ...]
    cancellation_token: str | None = None
    on_unresolved_token: str = "reject"  # noqa: S105  (not a password)
    cancel_on: tuple[CancelRule, ...] = ()
    concurrency: Concurrency | None = None
    on_cancel: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    warnings: tuple[str, ...] = ()
    fault: str = ""

    def step_at(self, position: str) -> Step | None:
        """The step standing there; None behind the last one."""
        if self.fault:
            return Unreadable(position=position, fault=self.fault)
        index = int(position)
        return self.steps[index] if index < len(self.steps) else None

    @cached_property
    def referred(self) -> Mapping[str, str]:
        """The refs that later steps may read of earlier ones, by the step's name."""
        return {step.name: step.ref for step in self.steps if step.ref}

    def without_delays(self) -> Definition:
        """The same, its delays passed over; every step keeps its place."""
        steps = (replace(step, passed_over=True) if isinstance(step, Delay) else step for step in self.steps)
        return replace(self, steps=tuple(steps))

    def named(self, name: str) -> Step | None:
        """The step whose public name it is."""
        return next((step for step in self.steps if step.name == name), None)

    def after(self, position: str) -> str:
        """The position behind this one."""
        return str(int(position) + 1)

    def before(self, position: str) -> Step | None:
        """The step that leads to this position; None at the first."""
        return self.step_at(str(int(position) - 1)) if int(position) else None
