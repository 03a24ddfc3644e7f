"""All mutants, by name."""

from __future__ import annotations

from tests.mutants import cancels, ends, holds, moves, parking, rules, starts, trees, undoing
from tests.mutants.mutant import MUTANTS, Mutant

__all__ = [
    "MUTANTS", "Mutant", "cancels", "ends", "holds", "moves", "parking", "rules", "starts", "those_of", "trees",
    "undoing",
]  # fmt: skip


def those_of(database: str) -> list[Mutant]:
    """The mutants that are faults on this database ("sqlite" or "postgresql"), in the order of their files."""
    return [mutant for mutant in MUTANTS.values() if mutant.only in (None, database)]
