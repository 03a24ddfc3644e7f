"""A product known to be wrong, which chaos must catch before it may be believed about ours."""

from __future__ import annotations

from tests.chaos.checker import UNLISTED
from tests.chaos.database import Server
from tests.chaos.harness import Plan, run
from tests.chaos.sink import HONEST

STORMS = 4  # in one of which it is to be caught
SECONDS = 8


def storms(mutant: str, *, seed: int, server: Server | None) -> list[int]:
    """The unlisted effects in each storm, up to the first that has any. It may happen to do no harm in one."""
    caught: list[int] = []
    while len(caught) < STORMS and not any(caught):
        plan = Plan(
            seed=seed + len(caught), seconds=SECONDS, load=2, mutant=mutant, mix=HONEST, patience=0
        )  # fmt: skip
        caught.append(run(plan, server=server).counts[UNLISTED])
    return caught
