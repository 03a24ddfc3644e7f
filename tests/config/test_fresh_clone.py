"""The README's first command in a folder as after `git clone`, with a Python that sees no packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_a_fresh_clone_installs_itself_and_keeps_its_promise(tmp_path: Path) -> None:
    for name in ("manage.py", "automations", "config", "logs", "static", "templates"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path)
    base = getattr(sys, "_base_executable", sys.executable)
    drop = {"COUNTERMAND_DATA", "DATABASE_URL", "DJANGO_SETTINGS_MODULE", "NO_BOOTSTRAP"}
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    done = subprocess.run(
        [base, "-S", "manage.py", "up", "--check"], cwd=tmp_path, env=kept, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (
        0,
        ["The promise holds: what was cancelled never went on."],
    ), done.stderr[-3000:]
    assert done.stderr.splitlines()[0].startswith("Making .venv with Python 3.")
    assert not (tmp_path / "var" / "countermand.sqlite3").exists()
