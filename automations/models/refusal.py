"""The one exception with which a verb says no; the edges put it into their dialect's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from automations.definition import DefinitionError, Problem


class No(StrEnum):
    """The kinds of no."""

    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    INVALID = "invalid"
    STALE = "stale"
    UNAVAILABLE = "unavailable"


class Refusal(Exception):
    """Nothing was changed. `problems` point into the request; UNAVAILABLE is worth another try in a second.
    `facts` are for programs, such as the id of the run that stands in the way."""

    def __init__(
        self, kind: No, code: str, message: str, problems: Sequence[Problem] = (), **facts: str
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.problems = list(problems)
        self.facts: Mapping[str, str] = facts

    @classmethod
    def at(cls, pointer: str, code: str, message: str, *, kind: No = No.INVALID) -> Refusal:
        """A refusal because of one member of the request."""
        return cls(kind, code, message, [Problem(pointer=pointer, code=code, message=message)])

    def point(self, places: Mapping[str, str]) -> None:
        """Has the problems whose pointers these are point to those places of the caller's own words."""
        self.problems = [
            replace(problem, pointer=places.get(problem.pointer, problem.pointer))
            for problem in self.problems
        ]

    @classmethod
    def of_definition(cls, error: DefinitionError, *, below: str = "/definition") -> Refusal:
        """A refusal because of a definition that stands at `below` in the request."""
        problems = [
            Problem(pointer=below + problem.pointer, code=problem.code, message=problem.message)
            for problem in error.problems
        ]
        message = f"the definition cannot be run: {problems[0].message}"
        return cls(No.INVALID, "invalid_definition", message, problems)
