"""A mutant: the product with one rule of the protocol broken, as somebody who did not know it would write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import getdoc

ONE_WRITER = "SQLite has one writer at a time, so there it is no fault"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`apply` breaks the rule that `breaks` names, for the rest of the process. `only` is the one database it
    is a fault on, where it is none on the other, `because` of something."""

    name: str
    breaks: str
    apply: Callable[[], None]
    only: str | None = None
    because: str = ""


MUTANTS: dict[str, Mutant] = {}


def mutant(
    *, only: str | None = None, because: str = ONE_WRITER
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Registers a function that breaks a rule; its docstring says which."""

    def register(apply: Callable[[], None]) -> Callable[[], None]:
        name, breaks = apply.__name__, " ".join((getdoc(apply) or "").split())
        MUTANTS[name] = Mutant(
            name=name, breaks=breaks, apply=apply, only=only, because=because if only else ""
        )
        return apply

    return register


def swap(owner: object, name: str, variant: object) -> None:
    """Puts the variant in the place of the real thing, which must be there."""
    assert hasattr(owner, name), f"{owner} has no {name} any more: the mutant is out of date"
    setattr(owner, name, variant)
