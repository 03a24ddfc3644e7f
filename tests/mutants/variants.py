"""All mutants, by name."""

from __future__ import annotations

from tests.mutants import cancels, ends, moves, rules, starts, trees
from tests.mutants.mutant import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant", "cancels", "ends", "moves", "rules", "starts", "those_of", "trees"]


def those_of(database: str) -> list[Mutant]:
    """The mutants that are faults on this database ("sqlite" or "postgresql"), in the order of their files."""
    return [mutant for mutant in MUTANTS.values() if mutant.only in (None, database)]
