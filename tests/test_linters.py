"""What pre-commit checks before a commit, checked once more with the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS: dict[str, list[str | Path]] = {
    "style": [BIN / "ruff", "check", "."],
    "format": [BIN / "ruff", "format", "--check", "."],
    "types": [BIN / "mypy"],
    "templates": [BIN / "djlint", "--lint", "templates"],
    "imports": [BIN / "lint-imports", "--no-cache"],
    "migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
    "django": [sys.executable, "manage.py", "check", "--fail-level", "WARNING"],
}


SLOW = {"types"}  # as long as three hundred tests


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CHECKS]
)
def test_the_tree_passes(name: str, tmp_path: Path) -> None:
    variables = os.environ | {"COUNTERMAND_DATA": str(tmp_path), "NO_BOOTSTRAP": "1", "NO_COLOR": "1"}
    variables.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(CHECKS[name], cwd=ROOT, env=variables, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stdout[-6000:] + done.stderr[-2000:], pytrace=False)
