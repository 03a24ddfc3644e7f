"""Runs the suite on a mutant, in a process of its own, and tells which test found it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ground import Ground
from tests.mutants.mutant import MUTANTS

QUICK = ("test_scenarios", "test_holds", "test_events")  # of the races, what takes little time and finds most
RACES = tuple(
    f"tests/races/{name}"
    for name in sorted(
        (file.name for file in (Path(__file__).parent.parent / "races").glob("test_*.py")),
        key=lambda name: (not name.startswith(QUICK), name),
    )
)
SUITE = (
    "tests/test_cancellation.py",
    "tests/test_undo.py",
    "tests/test_trees.py",
    "tests/test_undo_trees.py",
    "tests/execution",
)
# Tests that count statements would find a mutant for a reason that is none.
LEFT_OUT = "not costs_the_same"
# What a mutant fails with that no longer fits the code; it breaks no rule, it only breaks.
UNFIT = re.compile(r"\b(?:TypeError|AttributeError|NameError|KeyError|ImportError|out of date)\b")
LONGEST_SECONDS = 300.0
TEST_FAILED = 1  # pytest's exit status


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`test` failed on the mutant, or none did; `output` is what pytest printed."""

    test: str | None
    seconds: float
    output: str

    @property
    def is_killed(self) -> bool:
        return self.test is not None


def hunt(name: str, *, ground: Ground) -> Verdict:
    """The suite on one mutant, up to the first test that fails; what is no fault where there is one writer at a
    time is hunted by the races first."""
    since = time.monotonic()
    first, *others = (RACES, SUITE) if MUTANTS[name].only == "postgresql" else ((*SUITE, *RACES),)
    done = _run(name, first, ground)
    for files in others:
        if done.returncode == 0:
            done = _run(name, files, ground)
    output = done.stdout + done.stderr
    found = re.search(r"^FAILED (\S+)(.*)$", output, re.MULTILINE)
    is_killed = done.returncode == TEST_FAILED and found is not None and not UNFIT.search(found[2])
    return Verdict(
        test=found[1] if found and is_killed else None, seconds=time.monotonic() - since, output=output
    )


def _run(name: str, files: Sequence[str], ground: Ground) -> subprocess.CompletedProcess[str]:
    """These tests on the mutant, in a process and on a database of its own."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.mutants.plugin", "--mutant", name, "--reuse-db"]
    command += ["-p", "no:cacheprovider", "-x", "-q", "-k", LEFT_OUT, *files]
    with ground.copied() as its_own:
        environment = {**os.environ, **its_own}
        environment.pop("COUNTERMAND_TEST_REPORT", None)
        environment["CI"] = "1"  # pytest says in full what a test failed with, however narrow the terminal
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LONGEST_SECONDS
        )
