"""Repeats a finished run as a new one, whole or from a step on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from automations.definition import Definition, Kind
from automations.execution.accept import Accepted, accept
from automations.execution.tasks import STEP_STATUS
from automations.expressions import Scope
from automations.invocation import (
    Draft,
    InvokeRequest,
    Recipient,
    Replay,
    RunDraft,
    concurrency_key_of,
)
from automations.machine import START
from automations.models import (
    Automation,
    Environment,
    EventKind,
    Refusal,
    Run,
    clock,
    definition_of_run,
    new_uid,
    steps_of_run,
)

_INDEX = re.compile(r"\d{1,9}", re.ASCII)
_ENDED = frozenset({"completed", "skipped", "failed"})


@dataclass(frozen=True, kw_only=True)
class ReplayRequest:
    """Who asks for which run to be repeated. `from_step` is a step's id or index, None the first; `data` replaces
    the data of the run's invocation. The run is read `with_state()`."""

    environment: Environment
    actor: str
    run: Run
    from_step: str | int | None = None
    data: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None


def replay(request: ReplayRequest) -> Accepted:
    """A new run in an invocation of its own: of the same version, for the same recipient with the profile of then,
    under the same token and key as they were stored. Its concurrency key is that of its data, as with any invoke.

    Refusal for a run that has not finished, a step it does not have, an automation that accepts no runs now, and
    where its definition's `concurrency` refuses it.
    """
    run, invocation = request.run, request.run.invocation
    again = InvokeRequest(
        environment=request.environment,
        actor=request.actor,
        source=f"run/{run.uid}",
        dialect="native",
        automation=run.automation.key if run.automation else None,
        recipients=[Recipient(id=run.recipient, profile=run.profile)],
        data=invocation.data if request.data is None else request.data,
        key=run.key,
        tags=invocation.tags,
        tenant=invocation.tenant,
        performer=invocation.performer,
        skips_delays=invocation.skips_delays,
        idempotency_key=request.idempotency_key,
        fingerprint=request.fingerprint,
    )
    return accept(again, prepare=partial(_prepare, run=run, from_step=request.from_step))


def _prepare(request: InvokeRequest, *, run: Run, from_step: str | int | None) -> Draft:
    """The run once more, its token not resolved again: whoever holds the old one can call the new run off."""
    _refuse_unfinished(run)
    automation = _open_automation(run)
    definition = definition_of_run(run)
    if request.skips_delays:
        definition = definition.without_delays()
    start = START if from_step is None else _position(definition, from_step)
    carried = _carried(run, definition, before=int(start))
    left = {
        step.ref: {"status": STEP_STATUS[f"step_{carried[step.name]['outcome']}"]}
        for step in definition.steps
        if step.ref and step.name in carried
    }
    now, uid = clock(), new_uid()
    refs = {"recipient": run.recipient, "template": request.automation, **left}
    scope = Scope(data=dict(request.data), profile=run.profile, refs=refs, now=now, seed=str(uid))
    draft = RunDraft(
        uid=uid, recipient=run.recipient, scope=scope, token=run.token, token_error=run.token_error,
        concurrency_key=concurrency_key_of(definition, scope, owner=request.owner),
    )  # fmt: skip
    return Draft(
        request=request, automation=automation, definition=definition, runs=(draft,), now=now,
        replay=Replay(run=run, start=start, carried=carried),
    )  # fmt: skip


def _refuse_unfinished(run: Run) -> None:
    """Refusal for one that goes on, or will: archived as cancelled, it stays so until an undo brings it back."""
    called_off_by = run.called_off_by
    how = run.public_status if not run.is_finished else None
    if called_off_by is not None and called_off_by.undone_at is not None:
        how = "being brought back by an undo"
    if how is not None:
        raise Refusal.at("", "not_finished", f"the run is {how}; only a finished run can be replayed")


def _open_automation(run: Run) -> Automation | None:
    """The run's automation, read anew: one that was disabled or archived bears no new runs."""
    if run.automation_id is None:
        return None
    automation = Automation.objects.defer("draft", "description").get(pk=run.automation_id)
    for code, since in (("archived", automation.archived_at), ("disabled", automation.disabled_at)):
        if since is not None:
            raise Refusal.at("", code, f"the automation “{automation.key}” is {code}")
    return automation


def _position(definition: Definition, from_step: str | int) -> str:
    """The place of the step with that id or index."""
    name = str(from_step)
    step = definition.named(name) or (definition.step_at(name) if _INDEX.fullmatch(name) else None)
    if step is not None:
        return step.position
    raise Refusal.at("/from_step", "unknown_step", f"the run has no step “{name[:100]}”")


def _carried(run: Run, definition: Definition, *, before: int) -> dict[str, dict[str, Any]]:
    """What came of the effects before that step, by name: in this run, or in one that it replayed itself."""
    if not before:
        return {}
    carried = {
        event.step: {name: event.data[name] for name in ("outcome", "output", "error") if name in event.data}
        for event in run.events.filter(kind=EventKind.CARRIED)
    }
    for state, step in zip(steps_of_run(run), definition.steps[:before], strict=False):
        ended = state.status in _ENDED and state.skip_reason != "not_replayed"
        if step.kind is Kind.EFFECT and ended and step.name not in carried:
            carried[step.name] = {"outcome": state.status, "output": state.output, "error": state.error}
    names = [step.name for step in definition.steps[:before]]
    return {name: carried[name] for name in names if name in carried}
