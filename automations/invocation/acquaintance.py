"""What is stored of an invoke's recipients; where nothing is stored of anybody, as is usual, no statement asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automations.definition import merged
from automations.invocation.request import InvokeRequest
from automations.models import Recipient, check_size, profiles_of

_inhabited: set[int] = set()
"""Environments (primary keys) in which something was stored when this process looked. Of the others it is presumed
that nothing is; the invoke looks inside the gate, in a round trip that it makes anyway."""


def known_profiles(request: InvokeRequest) -> tuple[Mapping[str, Mapping[str, Any]], bool]:
    """The stored profiles of all whom the request names; and whether that there are none is a presumption, to be
    confirmed."""
    named = (*request.recipients, *request.acquaintances)
    ids = {recipient.id for recipient in named if recipient.id is not None}
    if not ids:
        return {}, False
    if request.environment.pk not in _inhabited:
        return {}, True
    return profiles_of(ids, environment_id=request.environment.pk), False


def is_inhabited(environment_id: int) -> None:
    """Something has been stored in the environment since."""
    _inhabited.add(environment_id)


def was_presumed_wrongly(environment_id: int) -> bool:
    """Whether something is stored in the environment after all; one statement."""
    if Recipient.objects.filter(environment_id=environment_id).exists():
        is_inhabited(environment_id)
    return environment_id in _inhabited


def forget() -> None:
    """Drops what was remembered, for when primary keys begin again (a test that was rolled back)."""
    _inhabited.clear()


def identified(
    request: InvokeRequest, known: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """What the request says of whom, where that changes what is stored. Refusal for a profile too large."""
    said: dict[str, Mapping[str, Any]] = {}
    for recipient in (*request.recipients, *request.acquaintances):
        if recipient.id is not None and recipient.profile:
            said[recipient.id] = {**said.get(recipient.id, {}), **recipient.profile}
    changed = {}
    for key, new in said.items():
        profile = merged(known.get(key, {}), new)
        if profile != known.get(key):
            check_size(profile, of=key)
            changed[key] = new
    return changed
