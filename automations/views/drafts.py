"""Reads a draft, once for each that a request meets: what it says, and what stands against publishing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from automations import publication
from automations.definition import Definition, DefinitionError, Problem, parse
from automations.models import Automation

_KEPT = "_draft_as_read"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What `raw` is read as: a definition, or else the problems with it."""

    raw: object
    definition: Definition | None
    problems: Sequence[Problem]


def read(automation: Automation) -> Draft:
    """The automation's draft as it stands in this object, read when it is first asked for."""
    kept: Draft | None = automation.__dict__.get(_KEPT)
    if kept is None or kept.raw is not automation.draft:
        kept = automation.__dict__[_KEPT] = _read(automation.draft)
    return kept


def _read(raw: object) -> Draft:
    try:
        return Draft(raw=raw, definition=parse(raw), problems=())
    except DefinitionError as error:
        return Draft(raw=raw, definition=None, problems=error.problems)


def draft_of(automation: Automation) -> dict[str, Any]:
    """The draft in our own spelling; as it was given where it cannot be read yet."""
    definition = read(automation).definition
    return dict(automation.draft if definition is None else definition.source)


def problems_of(automation: Automation) -> Sequence[Problem]:
    """What stands against publishing the draft."""
    return *read(automation).problems, *publication.misspelt(automation.draft)
