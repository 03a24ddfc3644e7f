"""`manage.py test`, run once more from within."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure
ROOT = Path(__file__).resolve().parent.parent.parent


def run(*words: str, **variables: str) -> tuple[int, list[str], str]:
    """Status, the lines of standard output, and standard error."""
    drop = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "REQUIRE"}
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    done = subprocess.run(
        [sys.executable, "manage.py", "test", *words],
        cwd=ROOT,
        env=kept | variables | {"NO_BOOTSTRAP": "1"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def block(lines: list[str]) -> list[tuple[str, ...]]:
    """What the closing table says: the database's kind, passed, failed and skipped."""
    rows = (
        re.fullmatch(r"(SQLite|PostgreSQL) [\w. ]+?\s{2,}(\w+)\s+(\w+)\s+(\w+)\s+\d+ s", line)
        for line in lines
    )
    return [row.groups() for row in rows if row]


def test_an_unknown_requirement_is_refused_in_a_sentence() -> None:
    assert run(REQUIRE="browser,firefox") == (
        1,
        [],
        "REQUIRE=browser,firefox: expected some of browser, node, postgres\n",
    )


@pytest.mark.slow
def test_a_pure_test_runs_once_and_the_block_says_so() -> None:
    status, lines, _ = run("tests/config/test_env.py", "-k", "words", REQUIRE="postgres")
    assert (status, block(lines)) == (0, [("SQLite", "9", "0", "0"), ("PostgreSQL", "0", "0", "0")])
    assert lines[-1] == "All that was asked for ran."


@pytest.mark.slow
def test_other_tests_run_on_both() -> None:
    status, lines, _ = run("tests/publication", REQUIRE="postgres")
    (_, on_sqlite, *_), (_, on_postgres, *_) = block(lines)
    assert (status, on_sqlite) == (0, on_postgres)
    assert int(on_sqlite) > 0


@pytest.mark.slow
def test_nothing_selected_is_no_success() -> None:
    status, lines, _ = run("tests/config/test_env.py", "-k", "no_such_name")
    assert (status, [row[1] for row in block(lines)]) == (5, ["0", "0"])
