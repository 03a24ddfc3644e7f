"""Reads a definition that is to be published: its shape, and whether its JavaScript can be read at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from automations.definition import Definition, DefinitionError, Problem, below, parse
from automations.expressions import ExpressionError, syntax_fault
from automations.models import No, Refusal

NAMES = ("id", "name", "ref", "action")  # which nobody evaluates
NOT_NOW = "the expressions could not be looked at now; try again in a moment"


def read_definition(definition: object) -> Definition:
    """Refusal with pointers to all that stands against running it; UNAVAILABLE where nothing is known to, and its
    JavaScript could not be looked at now."""
    try:
        read, problems = parse(definition), []
    except DefinitionError as error:
        read, problems = None, error.problems
    try:
        problems = [*problems, *_misspelt(definition, "")]
    except ExpressionError as error:
        if read is not None:
            raise Refusal(No.UNAVAILABLE, error.kind, NOT_NOW) from error
    if read is None or problems:
        raise Refusal.of_definition(DefinitionError(problems))
    return read


def misspelt(definition: object) -> tuple[Problem, ...]:
    """The expressions and conditions that are no JavaScript; or that this could not be looked at now."""
    try:
        return tuple(_misspelt(definition, ""))
    except ExpressionError as error:
        return (Problem(pointer="", code=error.kind, message=NOT_NOW),)


def _misspelt(value: Any, pointer: str, name: str = "") -> Iterator[Problem]:
    """The expressions and conditions that are no JavaScript, wherever they stand."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _misspelt(member, below(pointer, key), key)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _misspelt(member, f"{pointer}/{index}", name)
    elif isinstance(value, str) and name not in NAMES:
        fault = syntax_fault(value, is_condition=name == "if")
        if fault:
            yield Problem(pointer=pointer, code="syntax", message=f"this is no JavaScript: {fault}")
