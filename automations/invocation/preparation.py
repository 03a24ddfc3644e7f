"""Everything an invoke decides before its transaction opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from automations import expressions
from automations.definition import Definition, DefinitionError, parse, unsendable
from automations.expressions import ExpressionError, Scope, size_of
from automations.invocation import acquaintance
from automations.invocation.acquaintance import identified, known_profiles, was_presumed_wrongly
from automations.invocation.request import (
    LARGEST_PROFILES,
    MOST_RECIPIENTS,
    Draft,
    InvokeRequest,
    Recipient,
    RunDraft,
)
from automations.models import (
    Automation,
    Invocation,
    No,
    Refusal,
    clock,
    definition_of_version,
    new_uid,
)


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
    named = request.recipients
    if (once := _once_each(named)) is not named:
        request = replace(request, recipients=once)
    now = clock()
    if request.automation is None:
        automation, definition = None, _brought(request)
    else:
        automation = _published(request, request.automation)
        definition = _readable(definition_of_version(automation.published_id))
    if request.skips_delays:
        definition = definition.without_delays()
    known, presumed = known_profiles(request)
    _check_profiles(request, known)
    try:
        runs = tuple(_draft_runs(request, definition, now, known, named))
    except Refusal:
        if presumed and was_presumed_wrongly(request.environment.pk):
            return prepare(request)
        raise
    return Draft(
        request=request, automation=automation, definition=definition, runs=runs, now=now,
        identified=identified(request, known), presumes_no_profiles=presumed,
    )  # fmt: skip


def _once_each(named: Sequence[Recipient]) -> Sequence[Recipient]:
    """Each id once, where it was named first, with all that is said of it, the last word last; whoever has no id is
    nobody else. The same sequence where that is how it is."""
    ids = [recipient.id for recipient in named if recipient.id is not None]
    if len(set(ids)) == len(ids):
        return named
    known: dict[object, Recipient] = {}
    for place, recipient in enumerate(named):
        key = place if recipient.id is None else recipient.id
        before = known.get(key, recipient)
        known[key] = replace(recipient, profile={**before.profile, **recipient.profile})
    return list(known.values())


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
    """Drops what was kept, for when primary keys begin again (a test that was rolled back)."""
    _kept.clear()
    acquaintance.forget()


def forget_automation(automation: Automation) -> None:
    """Drops this one, which has changed."""
    _kept.pop((automation.environment_id, automation.key), None)


def _readable(definition: Definition) -> Definition:
    if definition.fault:
        message = f"the published version cannot be read any more; publish it anew ({definition.fault})"
        raise Refusal.at("/automation", "invalid_definition", message)
    return definition


def _brought(request: InvokeRequest) -> Definition:
    try:
        definition = parse(request.definition, strict=request.strict)
        if problems := list(unsendable(definition)):
            raise DefinitionError(problems)
        return definition
    except DefinitionError as error:
        raise Refusal.of_definition(error) from error


def _check_profiles(request: InvokeRequest, known: Mapping[str, Mapping[str, Any]]) -> None:
    """Refusal where the runs' profiles are too large together: one that came once is stored with each of them."""
    if len(request.recipients) == 1:
        return
    left = LARGEST_PROFILES
    for recipient in request.recipients:
        if profile := _profile_of(request, recipient, known):
            left -= size_of(profile)
        if left < 0:
            message = f"the profiles of the runs would have more than {LARGEST_PROFILES >> 20} MiB together"
            raise Refusal.at("/recipients", "data_too_large", message)


def _profile_of(
    request: InvokeRequest, recipient: Recipient, known: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The profile of the run for that recipient: what is stored, with what came with the request over it."""
    stored = known.get(recipient.id, {}) if recipient.id is not None else {}
    return {**stored, **request.profile, **recipient.profile}


def _draft_runs(
    request: InvokeRequest,
    definition: Definition,
    now: datetime,
    profiles: Mapping[str, Mapping[str, Any]],
    named: Sequence[Recipient],
) -> Iterator[RunDraft]:
    """A run for each recipient. A refusal for one of several says which of those `named` it is."""
    for recipient in request.recipients:
        try:
            yield _draft_run(request, definition, recipient, now, profiles)
        except Refusal as refusal:
            if len(named) > 1:
                _place(refusal, recipient, named)
            raise


def _place(refusal: Refusal, recipient: Recipient, named: Sequence[Recipient]) -> None:
    """Has what points into a profile point to the recipient, and says whose it is."""
    places = (at for at, one in enumerate(named) if one is recipient or (one.id and one.id == recipient.id))
    whose = f"/recipients/{next(places)}"
    refusal.point(
        {
            problem.pointer: f"{whose}/{problem.pointer.removeprefix('/profile/')}"
            for problem in refusal.problems
            if problem.pointer.startswith("/profile/")
        }
    )
    if recipient.id is not None:
        refusal.message = f"{refusal.message} (recipient “{recipient.id[:100]}”)"


def _draft_run(
    request: InvokeRequest,
    definition: Definition,
    recipient: Recipient,
    now: datetime,
    profiles: Mapping[str, Mapping[str, Any]],
) -> RunDraft:
    uid = new_uid()
    profile = _profile_of(request, recipient, profiles)
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
        concurrency_key=concurrency_key_of(definition, scope, owner=request.owner),
    )  # fmt: skip


def concurrency_key_of(definition: Definition, scope: Scope, *, owner: str) -> str | None:
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
