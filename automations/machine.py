"""The step machine: from a place in a definition and what just happened to the next place, its due time, or the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from automations import expressions
from automations.definition import (
    FURTHEST_UNTIL,
    LONGEST_REASON,
    Cancel,
    Definition,
    Delay,
    Invoke,
    Kind,
    Sought,
    Step,
    UpdateProfile,
    parse_duration,
    parse_moment,
    sought,
)
from automations.expressions import ExpressionError, FieldWarning, Scope
from automations.expressions.tokens import check_token, token_text

START = "0"
STARVED_PAUSE = timedelta(seconds=1)
LONGEST_NAME = 255  # of an automation, or a recipient
MOST_TOLD = 100  # members of a profile that the log names
AWAITING = datetime(9999, 1, 1, tzinfo=UTC)  # when a run is due that waits for its child to end


@dataclass(frozen=True, kw_only=True)
class Order:
    """A child to be started: an automation's key or alias, and what it is given; None is the parent's."""

    template: str
    recipient: str | None
    data: Any
    profile: Any


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be said of a recipient, and `how` it is laid over what is known (see `definition.merged`)."""

    recipient: str
    said: Mapping[str, Any]
    how: str


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A step carried out, or passed over, without an effect of its own.

    `outcome` is waiting (a delay, a child that is waited for), completed (a cancel, a child), skipped or failed;
    `detail` is what the log keeps.
    """

    step: Step
    outcome: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    sought: Sought | None = None
    order: Order | None = None
    change: Change | None = None

    @property
    def writes(self) -> bool:
        """Whether it writes more than its own run's state."""
        return self.sought is not None or self.order is not None or self.change is not None

    @property
    def due_at(self) -> datetime | None:
        """When a delay ends (UTC)."""
        due_at = self.detail.get("due_at")
        return None if due_at is None else datetime.fromisoformat(due_at)

    def as_json(self) -> dict[str, Any]:
        """The form in which an event keeps it."""
        return {"step": self.step.name, "outcome": self.outcome, **self.detail}


class Plan(NamedTuple):
    """What a transition will do: the steps it carries out on the way, and where the run then rests.

    With a `status` the run ends; otherwise it waits at `position` until `due_at` (UTC). `now` is the clock it
    was planned by; `fixed` says that `due_at` is a moment of the calendar and not a time from then.
    """

    position: str
    due_at: datetime
    now: datetime
    fixed: bool = False
    carried: tuple[Carried, ...] = ()
    status: str | None = None
    status_reason: str = ""
    has_errors: bool = False
    starved: bool = False

    def at(self, now: datetime) -> Plan:
        """The same plan by the transaction's clock: its times from now count from `now`.

        So runs of one batch with like delays get equal due times, and one statement writes them all.
        """
        if self.fixed:
            return self
        due_at = self.due_at + (now - self.now)
        if not self.carried:
            return self._replace(due_at=due_at, now=now)
        carried = tuple(
            replace(item, detail={**item.detail, "due_at": due_at.isoformat()})
            if item.detail.get("due_at") == self.due_at.isoformat() else item
            for item in self.carried
        )  # fmt: skip
        return self._replace(due_at=due_at, now=now, carried=carried)

    def cancels(self) -> Iterator[tuple[Cancel, Sought]]:
        """The cancel steps to carry out in the plan's transaction, with what they resolved to."""
        for carried in self.carried:
            if isinstance(carried.step, Cancel) and carried.sought is not None:
                yield carried.step, carried.sought

    def orders(self) -> Iterator[tuple[Invoke, Order]]:
        """The children to bear in the plan's transaction."""
        for carried in self.carried:
            if isinstance(carried.step, Invoke) and carried.order is not None:
                yield carried.step, carried.order

    def changes(self) -> Iterator[tuple[Step, Change]]:
        """The profiles to change in the plan's transaction."""
        for carried in self.carried:
            if carried.change is not None:
                yield carried.step, carried.change

    def cut_off(self, step: Step) -> Plan:
        """The plan up to that step, at which the run rests; what came before stays carried out."""
        before = tuple(item for item in self.carried if int(item.step.position) < int(step.position))
        return Plan(position=step.position, due_at=self.now, now=self.now, carried=before)

    def failed_at(self, step: Step, *, code: str, message: str) -> Plan:
        """The plan up to that step, which fails and ends the run."""
        before = list(self.cut_off(step).carried)
        return _failed(step, code, message, carried=before, now=self.now, reason="step_failed")


class _StepFailed(Exception):
    """A step without an effect that cannot be carried out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def advance(
    *,
    definition: Definition,
    position: str,
    scope: Scope,
    now: datetime,
    owner: str = "",
    bears: bool = False,
) -> Plan:
    """From `position` over every pure and record step to the next effect, wait or end; where the transaction cannot
    bear children (`bears` is false), to the next step that wants one that can.

    Evaluates those steps' expressions, so it is called before the transaction opens. A retryable
    ExpressionError (an evaluator starved or crashed) rests the run where it is for a second.
    """
    carried: list[Carried] = []
    plan = partial(Plan, now=now)
    while (step := definition.step_at(position)) is not None and step.kind is not Kind.EFFECT:
        if _wants_a_transition(step, carried, bears=bears):
            return plan(position=position, due_at=now, carried=tuple(carried))
        following = definition.after(position)
        try:
            done = _carry(step, scope=scope, now=now, owner=owner)
        except ExpressionError as error:
            if error.retryable:
                due_at = now + STARVED_PAUSE
                return plan(position=position, due_at=due_at, carried=tuple(carried), starved=True)
            return _failed(
                step, error.kind, error.message, carried=carried, now=now, reason="expression_error"
            )
        except _StepFailed as error:
            return _failed(step, error.code, error.message, carried=carried, now=now, reason="step_failed")
        carried.append(done)
        position = following
        if (rest := _rest(done, position=position, now=now)) is not None:
            return rest._replace(carried=tuple(carried))
    status, reason = ("completed", "end") if step is None else (None, "")
    return plan(position=position, due_at=now, carried=tuple(carried), status=status, status_reason=reason)


def _rest(done: Carried, *, position: str, now: datetime) -> Plan | None:
    """Where the run waits after that step; None where it goes on at once."""
    step = done.step
    if isinstance(step, Delay) and done.due_at is not None and done.due_at > now:
        return Plan(position=position, due_at=done.due_at, now=now, fixed=step.until is not None)
    if done.order is not None and done.outcome == "waiting":
        return Plan(position=position, due_at=AWAITING, now=now, fixed=True)
    is_own_cancel = isinstance(step, Cancel) and step.include_self and done.sought is not None
    if is_own_cancel or done.change is not None:
        # The run must still be there for its own cancel to find it; what follows reads the profile anew.
        return Plan(position=position, due_at=now, now=now)
    return None


def _wants_a_transition(step: Step, carried: list[Carried], *, bears: bool) -> bool:
    """Whether the run has to rest before the step: children are born, and profiles changed, when it is carried
    forward, and a cancel finds the children born before it."""
    if isinstance(step, Invoke | UpdateProfile):
        return not bears
    return isinstance(step, Cancel) and any(item.order is not None for item in carried)


def broken(definition: Definition, *, position: str, message: str, now: datetime) -> Plan:
    """The run fails at that position for a fault that no step of it foresaw."""
    step = definition.step_at(position)
    if step is None:
        return ended(position=position, status_reason="step_failed", now=now)
    return _failed(step, "internal", message, carried=[], now=now, reason="step_failed")


def after_failure(*, step: Step, attempt: int, retryable: bool, now: datetime) -> Plan:
    """After a failed attempt of an effect: again at the same place later, or the end of the run."""
    if retryable and attempt < step.retry.max_attempts:
        return Plan(position=step.position, due_at=now + step.retry.pause(attempt=attempt), now=now)
    return ended(position=step.position, status_reason="step_failed", now=now)


def starved(*, step: Step, now: datetime) -> Plan:
    """After an effect was not attempted for want of an evaluator: again at the same place, as a step without one."""
    return Plan(position=step.position, due_at=now + STARVED_PAUSE, now=now, starved=True)


def after_loss(*, step: Step, attempt: int, now: datetime) -> Plan:
    """After an attempt whose worker was lost: again at once, or the end when its attempts are used up or the step
    must not be made twice (`on_crash`)."""
    if step.on_crash == "retry" and attempt < step.retry.max_attempts:
        return Plan(position=step.position, due_at=now, now=now)
    return ended(position=step.position, status_reason="worker_lost", now=now)


def ended(*, position: str, status_reason: str, now: datetime) -> Plan:
    """The run fails here."""
    return Plan(
        position=position, due_at=now, now=now, status="failed", status_reason=status_reason, has_errors=True
    )


def _failed(
    step: Step, code: str, message: str, *, carried: list[Carried], now: datetime, reason: str
) -> Plan:
    failure = Carried(step=step, outcome="failed", detail={"error": {"kind": code, "message": message}})
    plan = ended(position=step.position, status_reason=reason, now=now)
    return plan._replace(carried=(*carried, failure))


def _carry(step: Step, *, scope: Scope, now: datetime, owner: str) -> Carried:
    """One pure or record step, evaluated."""
    if isinstance(step, Delay) and step.passed_over:
        return Carried(step=step, outcome="skipped", detail={"reason": "delays_skipped"})
    if step.condition is not None and not expressions.check_condition(step.condition, scope, owner=owner):
        return Carried(step=step, outcome="skipped", detail={"reason": "condition_false"})
    if isinstance(step, Delay):
        return Carried(
            step=step, outcome="waiting", detail={"due_at": _due(step, scope, now, owner).isoformat()}
        )
    if isinstance(step, Cancel):
        found = _sought(step, scope, owner)
        return Carried(step=step, outcome="completed", detail=_told(step, found), sought=found)
    if isinstance(step, Invoke):
        order = _order(step, scope, owner)
        return Carried(step=step, outcome="waiting" if step.wait else "completed", order=order)
    if isinstance(step, UpdateProfile):
        change = _change(step, scope, owner)
        told = {
            "recipient": change.recipient,
            "merge": change.how,
            "members": sorted(change.said)[:MOST_TOLD],
        }
        return Carried(step=step, outcome="completed", detail=told, change=change)
    raise AssertionError(f"no way to carry out {step.action}")


def _change(step: UpdateProfile, scope: Scope, owner: str) -> Change:
    """What is said of whom. What does not resolve fails the step: half a profile is worse than none."""
    given: dict[str, Any] = {"profile": step.profile, "recipient_id": step.recipient}
    warnings: list[FieldWarning] = []
    resolved = expressions.resolve_tree(given, scope, owner=owner, warnings=warnings)
    _refuse_unresolved(warnings)
    named = scope.refs.get("recipient") if step.recipient is None else resolved["recipient_id"]
    if named is None:
        raise _StepFailed("no_recipient", "the run has no recipient, and the step names none")
    recipient = _text("recipient_id", named)
    if len(recipient) > LONGEST_NAME:
        raise _StepFailed("invalid_recipient_id", f"an id has at most {LONGEST_NAME} characters")
    return Change(recipient=recipient, said=resolved["profile"], how=step.merge)


def _order(step: Invoke, scope: Scope, owner: str) -> Order:
    """What the child is given, resolved."""
    given = {
        "template": step.template,
        "recipient": step.recipient,
        "data": step.data,
        "profile": step.profile,
    }
    fields = expressions.resolve_tree(given, scope, owner=owner)
    for name in (name for name, member in given.items() if member is not None):
        value = fields[name]
        if name in ("data", "profile"):
            is_fit = isinstance(value, dict)
        else:
            is_text = isinstance(value, str | int | float) and not isinstance(value, bool)
            fields[name] = expressions.as_text(value)
            is_fit = is_text and len(fields[name].strip()) > 0 and len(fields[name]) <= LONGEST_NAME
        if not is_fit:
            raise _StepFailed(f"invalid_{name}", f"“{name}” resolved to {_shown(value)}")
    return Order(**fields)


def _sought(step: Cancel, scope: Scope, owner: str) -> Sought:
    """Which runs a cancel step is for. What does not resolve fails the step: it cancels nothing."""
    known = {} if step.token is None else {"token": expressions.resolve_token(step.token, scope, owner=owner)}
    asked = {**(step.filter or {}), "run_id": step.run_id, "reason": step.reason}
    tree = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asked.items() if value
    }
    warnings: list[FieldWarning] = []
    found = expressions.resolve_tree(tree, scope, owner=owner, warnings=warnings)
    _refuse_unresolved(warnings)
    assert isinstance(found, dict)
    try:
        return sought({**known, **found}, _text)
    except ValueError as error:
        raise _StepFailed("invalid_filter", str(error)) from error


def _refuse_unresolved(warnings: Sequence[FieldWarning]) -> None:
    for first in warnings[:1]:
        raise ExpressionError("unresolved", f"“{first.field}” did not resolve", paths=first.paths)


def _text(name: str, value: Any) -> str:
    """A resolved value as the text by which runs are found, as strict as a token; a reason identifies nobody."""
    text = token_text(value, source=name, path=name)
    if name == "reason":
        return text[:LONGEST_REASON]
    return check_token(text, longest=512, source=name)


def _told(step: Cancel, found: Sought) -> dict[str, Any]:
    """What the log keeps of it."""
    asked = {name: list(value) if isinstance(value, tuple) else value for name, value in found.fields}
    if step.token is not None:
        return asked
    return {"run_id": asked["run_ids"][0]} if step.run_id is not None else {"filter": asked}


def _due(step: Delay, scope: Scope, now: datetime, owner: str) -> datetime:
    """When the delay ends; a moment that has passed is now."""
    text = expressions.resolve_field(step.duration or step.until or "", scope, owner=owner)
    name = "duration" if step.duration else "until"
    if not isinstance(text, str):
        raise _StepFailed(f"invalid_{name}", f"“{name}” resolved to {_shown(text)}, which is not a text")
    try:
        if step.duration:
            return now + parse_duration(text)
        moment = max(now, parse_moment(text))
    except ValueError as error:
        raise _StepFailed(f"invalid_{name}", str(error)) from error
    if moment - now > FURTHEST_UNTIL:
        raise _StepFailed("invalid_until", f"{text!r} is more than five years ahead")
    return moment


def _shown(value: object) -> str:
    """As whoever wrote JSON reads it."""
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)[:60]
