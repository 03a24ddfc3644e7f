"""The verb *invoke*: prepares a request and writes its invocation, runs and live runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models

from automations import expressions, machine
from automations.definition import Definition, DefinitionError, parse
from automations.expressions import ExpressionError, Scope
from automations.machine import Plan
from automations.models import (
    Automation,
    Environment,
    Event,
    EventKind,
    Invocation,
    Listener,
    LiveRun,
    No,
    Refusal,
    Run,
    clock,
    definition_of,
    draw,
    listeners_of,
    new_uid,
)

MOST_RECIPIENTS = 1_000
LISTED = 100
KEY_KEPT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """Whom a run is for: an id, or None, and the profile known with it."""

    id: str | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InvokeRequest:
    """A request to run an automation by name (`by_alias`: also by alias), or the steps it brought itself.

    `strict` says how a brought definition is read. `data` and profiles are JSON objects.
    """

    environment: Environment
    actor: str
    source: str
    dialect: str
    automation: str | None = None
    by_alias: bool = False
    definition: object = None
    strict: bool = True
    recipients: Sequence[Recipient] = (Recipient(),)
    data: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    tags: Sequence[str] = ()
    tenant: str | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    key_kept: timedelta = KEY_KEPT

    @property
    def owner(self) -> str:
        """Whose expressions these are: one caller's endless script neither blocks nor breaks another's."""
        return f"{self.environment.pk}/{self.actor}"


@dataclass(frozen=True, kw_only=True)
class RunDraft:
    """A run before it is stored, its token resolved for good."""

    uid: UUID
    recipient: str | None
    scope: Scope
    token: str | None
    token_error: str = ""
    concurrency_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The finished run that another one repeats from `start` on, and what came of its steps before that:
    `carried` gives by name their outcome (completed, skipped or failed), output and error."""

    run: Run
    start: str = machine.START
    carried: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def events(self, run: Run, *, actor: str, now: datetime) -> list[Event]:
        """What both logs say of it, beside the `invoked` event of the new `run`."""
        carried = [
            Event(run=run, at=now, kind=EventKind.CARRIED, step=step, data={**data, "run": str(self.run.uid)})
            for step, data in self.carried.items()
        ]
        told = {"run": str(run.uid), "from_step": int(self.start), "actor": actor}
        return [*carried, Event(run=self.run, at=now, kind=EventKind.REPLAYED, data=told)]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A request checked and ready to be stored. `now` is the clock (UTC) it was prepared by."""

    request: InvokeRequest
    automation: Automation | None
    definition: Definition
    runs: tuple[RunDraft, ...]
    now: datetime
    replay: Replay | None = None

    @property
    def version_id(self) -> int | None:
        if self.replay is not None:
            return self.replay.run.version_id
        return self.automation.published_id if self.automation is not None else None

    @property
    def start(self) -> str:
        """The position of the first step."""
        return machine.START if self.replay is None else self.replay.start


def earlier(request: InvokeRequest) -> Invocation | None:
    """The invocation that holds the request's idempotency key. Refusal when it came with another body."""
    return Invocation.earlier(
        key=request.idempotency_key, fingerprint=request.fingerprint, environment=request.environment,
        dialect=request.dialect,
    )  # fmt: skip


def prepare(request: InvokeRequest) -> Draft:
    """Everything an invoke decides before its transaction opens. Refusal names what stands against it."""
    if not 1 <= len(request.recipients) <= MOST_RECIPIENTS:
        message = f"an invocation is for 1 to {MOST_RECIPIENTS:,} recipients"
        raise Refusal.at("/recipients", "too_many", message)
    now = clock()
    if request.automation is None:
        automation, definition = None, _brought(request)
    else:
        automation = _published(request, request.automation)
        definition = definition_of(version_id=automation.published_id, invocation_id=0)
    runs = tuple(_draft_run(request, definition, recipient, now) for recipient in request.recipients)
    return Draft(request=request, automation=automation, definition=definition, runs=runs, now=now)


@dataclass(frozen=True, kw_only=True)
class Composed:
    """An invocation and its runs with their keys drawn, not stored yet. A run whose plan ends it has no live
    row."""

    invocation: Invocation
    runs: Sequence[Run]
    live: Sequence[LiveRun]
    listeners: Sequence[Listener] = ()

    def rows(self) -> list[models.Model]:
        """What to insert, each row after those it refers to."""
        return [self.invocation, *self.runs, *self.live, *self.listeners]


def invoke(draft: Draft, *, plans: Sequence[Plan], now: datetime) -> Composed:
    """The draft's rows, each run resting where its plan says, inside a transaction behind the gate; the caller
    inserts them, with an `invoked_event` for each run.

    `plans` are in the order of `draft.runs`. ChangedMeanwhile when the automation was disabled, archived or
    published anew since the draft was prepared.
    """
    request = draft.request
    (invocation_pk,), run_pks = _drawn_if_unchanged(draft)
    invocation = Invocation(
        pk=invocation_pk,
        environment=request.environment,
        automation=draft.automation,
        version_id=draft.version_id,
        definition=dict(draft.definition.source) if draft.automation is None else None,
        data=dict(request.data),
        source=request.source,
        dialect=request.dialect,
        actor=request.actor,
        tags=list(request.tags),
        tenant=request.tenant,
        run_count=len(draft.runs),
        created_at=now,
        answer=answer_of(draft, [plan.status or "waiting" for plan in plans]),
    )
    invocation.take_key(
        request.idempotency_key, fingerprint=request.fingerprint, now=now, until=now + request.key_kept,
        environment=request.environment, dialect=request.dialect,
    )  # fmt: skip
    runs = [
        _run(pk, draft, invocation, run, plan, now)
        for pk, run, plan in zip(run_pks, draft.runs, plans, strict=True)
    ]
    live = [
        _live_run(run, invocation, plan, draft.definition, concurrency_key=drafted.concurrency_key)
        for run, plan, drafted in zip(runs, plans, draft.runs, strict=True)
        if not plan.status
    ]
    listeners = _listeners(draft, invocation) if live else ()
    return Composed(invocation=invocation, runs=runs, live=live, listeners=listeners)


def _listeners(draft: Draft, invocation: Invocation) -> Sequence[Listener]:
    """By what an event finds runs whose definition came with the request; those of versions were stored with them."""
    if draft.automation is not None:
        return ()
    return listeners_of(draft.definition, environment=invocation.environment, invocation=invocation)


def answer_of(draft: Draft, statuses: Sequence[str]) -> list[dict[str, Any]]:
    """The first 100 runs as the caller is told of them; stored, so that a replay says the same."""
    return [
        {
            "id": str(run.uid),
            "status": status,
            "recipient": run.recipient,
            "cancellation_token": run.token,
            "cancellation_key": draft.request.key,
        }
        for run, status in zip(draft.runs[:LISTED], statuses, strict=False)
    ]


def invoked_event(
    run: Run, *, plan: Plan, folded: Sequence[Mapping[str, Any]], now: datetime, replay: Replay | None = None
) -> Event:
    """The first event of a run: where it rests first, and the steps carried out on the way."""
    data: dict[str, Any] = {"position": plan.position, "due_at": plan.due_at.isoformat()}
    if replay is not None:
        data |= {"replay_of": str(replay.run.uid), "from_step": int(replay.start)}
    if folded:
        data["folded"] = list(folded)
    return Event(run=run, at=now, kind=EventKind.INVOKED, data=data)


def _published(request: InvokeRequest, name: str) -> Automation:
    """The automation, fit to be invoked. One found by its key is kept: `_check_unchanged` reads it again inside
    the gate, and forgets it when it has changed."""
    environment = request.environment
    if (kept := _kept.get((environment.pk, name))) is not None:
        return kept
    automations = Automation.objects.within(environment).defer("draft", "description")
    automation = (automations.named(name) if request.by_alias else automations.filter(key=name)).first()
    if automation is None or automation.archived_at is not None:
        raise Refusal(No.NOT_FOUND, "automation_not_found", f"there is no automation “{name[:100]}”")
    if automation.published_id is None:
        raise Refusal.at("/automation", "unpublished", f"the automation “{name}” has no published version")
    if automation.disabled_at is not None:
        raise Refusal.at("/automation", "disabled", f"the automation “{name}” is disabled")
    if automation.key == name:
        _kept[environment.pk, name] = automation
    return automation


_kept: dict[tuple[int, str], Automation] = {}


def forget() -> None:
    """Drops the automations kept, for when primary keys begin again (a test that was rolled back)."""
    _kept.clear()


def _brought(request: InvokeRequest) -> Definition:
    try:
        return parse(request.definition, strict=request.strict)
    except DefinitionError as error:
        raise Refusal.of_definition(error) from error


def _draft_run(
    request: InvokeRequest, definition: Definition, recipient: Recipient, now: datetime
) -> RunDraft:
    uid = new_uid()
    profile = {**request.profile, **recipient.profile}
    refs = {"recipient": recipient.id, "template": request.automation}
    scope = Scope(data=dict(request.data), profile=profile, refs=refs, now=now, seed=str(uid))
    token, token_error = None, ""
    if definition.cancellation_token is not None:
        try:
            token = expressions.resolve_token(definition.cancellation_token, scope, owner=request.owner)
        except ExpressionError as error:
            if error.retryable:
                raise Refusal(
                    No.UNAVAILABLE, error.kind, "the cancellation token could not be evaluated now"
                ) from error
            if definition.on_unresolved_token == "reject" or error.kind == "timeout":  # noqa: S105
                raise _unresolved(error, "cancellation_token") from error
            token_error = error.message[:500]
    return RunDraft(
        uid=uid, recipient=recipient.id, scope=scope, token=token, token_error=token_error,
        concurrency_key=_concurrency_key(definition, scope, owner=request.owner),
    )  # fmt: skip


def _concurrency_key(definition: Definition, scope: Scope, *, owner: str) -> str | None:
    """The key, resolved once like a token; an invoke without the one that its definition asks for is refused."""
    if definition.concurrency is None:
        return None
    try:
        return expressions.resolve_token(definition.concurrency.key, scope, owner=owner)
    except ExpressionError as error:
        if error.retryable:
            message = "the concurrency key could not be evaluated now"
            raise Refusal(No.UNAVAILABLE, error.kind, message) from error
        raise _unresolved(error, "concurrency_key", at="/definition/concurrency/key") from error


def _unresolved(error: ExpressionError, name: str, *, at: str = "/definition/cancellation_token") -> Refusal:
    """The refusal of an invoke whose token or key came to nothing, naming the paths that were missing."""
    code = "timeout" if error.kind == "timeout" else f"{name}_unresolved"
    pointers = ["/" + path.replace(".", "/") for path in error.paths] or [at]
    message = f"the {name.replace('_', ' ')} did not resolve: {error.message}"
    refusal = Refusal.at(pointers[0], code, message)
    for pointer in pointers[1:]:
        refusal.problems += Refusal.at(pointer, code, refusal.message).problems
    return refusal


STATE = """
SELECT published_id FROM automations_automation WHERE id = %s AND disabled_at IS NULL AND archived_at IS NULL
"""


def _drawn_if_unchanged(draft: Draft) -> list[list[int]]:
    """Primary keys for the invocation and its runs; beside them the automation's state is read again, inside the
    gate, which disabling takes exclusively."""
    wanted = (Invocation, 1), (Run, len(draft.runs))
    if draft.automation is None:
        return draw(*wanted)[0]
    keys, (state,) = draw(*wanted, beside=[(STATE, [draft.automation.pk])])
    # A replay keeps its version, whatever was published since.
    if not state or (draft.replay is None and state != [(draft.version_id,)]):
        _kept.pop((draft.request.environment.pk, draft.automation.key), None)
        raise ChangedMeanwhile
    return keys


class ChangedMeanwhile(Exception):
    """The automation changed between preparing and storing: prepare again."""


def _run(pk: int, draft: Draft, invocation: Invocation, run: RunDraft, plan: Plan, now: datetime) -> Run:
    ended = {}
    if plan.status:
        ended = {
            "status": plan.status, "status_reason": plan.status_reason, "has_errors": plan.has_errors,
            "finished_at": now,
        }  # fmt: skip
    return Run(
        pk=pk,
        uid=run.uid,
        environment=draft.request.environment,
        invocation=invocation,
        automation=draft.automation,
        version_id=draft.version_id,
        recipient=run.recipient,
        profile=run.scope.profile,
        source=draft.request.source,
        token=run.token,
        token_error=run.token_error,
        key=draft.request.key,
        created_at=now,
        replay_of=draft.replay.run.uid if draft.replay is not None else None,
        **ended,
    )


def _live_run(
    run: Run, invocation: Invocation, plan: Plan, definition: Definition, *, concurrency_key: str | None
) -> LiveRun:
    return LiveRun(
        run=run,
        uid=run.uid,
        environment_id=run.environment_id,
        automation_id=run.automation_id,
        invocation=invocation,
        recipient=run.recipient,
        source=run.source,
        tags=invocation.tags or None,
        tenant=invocation.tenant,
        token=run.token,
        key=run.key,
        concurrency_key=concurrency_key,
        created_at=run.created_at,
        due_at=plan.due_at,
        position=plan.position,
        on_cancel=definition.on_cancel,
    )
