"""The bootstrap, run by a Python without packages, over a stand-in for the environment it makes."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from config import bootstrap

ROOT = Path(__file__).resolve().parent.parent.parent
# Stands where .venv/bin/python would: answers the version probe, "installs" as told, and reports the rest.
PYTHON = """#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/log"
case "$*" in
    -c*) echo "{version}" ;;
    "-m pip --version") ;;
    "-m pip install"*) sleep "${{SLOW:-0}}"; echo "Collecting django"; exit "${{BROKEN:-0}}" ;;
    *) echo "in .venv: $*" ;;
esac
"""


class Clone:
    """A folder as after `git clone`, in which .venv can be a stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config").mkdir()
        shutil.copy(ROOT / "manage.py", folder)
        for name in ("__init__.py", "bootstrap.py", "requirements.txt", "requirements-dev.txt"):
            shutil.copy(ROOT / "config" / name, folder / "config")
        self.stamp = folder / ".venv" / ".ready"
        self.log = folder / ".venv" / "bin" / "log"

    def make_venv(self) -> None:
        program = self.log.with_name("python")
        program.parent.mkdir(parents=True)
        program.write_text(PYTHON.format(version=tuple(sys.version_info[:2])))
        program.chmod(0o755)

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """`python3 manage.py ...` by a Python that sees no packages."""
        base = getattr(sys, "_base_executable", sys.executable)
        kept = {
            name: value for name, value in os.environ.items() if name not in ("NO_BOOTSTRAP", "VIRTUAL_ENV")
        }
        return subprocess.Popen(
            [base, "-S", "manage.py", *words],
            cwd=self.folder,
            env=kept | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **variables: str) -> tuple[int, str, str]:
        """Status, standard output and standard error."""
        process = self.start(*words, **variables)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    @property
    def installs(self) -> list[str]:
        """What was installed from, in order."""
        lines = self.log.read_text().splitlines()
        options = (
            "-m pip install --progress-bar off --no-input --disable-pip-version-check --require-hashes -r "
        )
        found = [line for line in lines if line.startswith("-m pip install")]
        assert [line for line in found if not line.startswith(options)] == []
        return [Path(line.removeprefix(options)).name for line in found]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_an_older_python_can_read_it_up_to_the_sentence_that_turns_it_away() -> None:
    for name in ("manage.py", "config/bootstrap.py"):
        ast.parse((ROOT / name).read_text(), feature_version=(3, 6))
    code = "import sys; sys.version_info, sys.version = (3, 9, 2), '3.9.2 (main)'; import config.bootstrap"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "Countermand needs Python 3.11 or newer, and this is Python 3.9.2.\n"


def test_a_command_before_the_installation_names_the_one_that_installs(clone: Clone) -> None:
    assert clone.run("migrate") == (
        1,
        "",
        "Countermand is not installed yet. Run this first:  python3 manage.py up\n",
    )
    assert not (clone.folder / ".venv").exists()


def test_a_command_runs_inside_venv_where_there_is_one_and_installs_nothing(clone: Clone) -> None:
    clone.make_venv()
    assert clone.run("apply", "a b.json", "--x") == (0, "in .venv: manage.py apply a b.json --x\n", "")
    assert clone.installs == []


@pytest.mark.parametrize(("command", "file"), [("up", "requirements.txt"), ("test", "requirements-dev.txt")])
def test_up_and_test_install_what_is_pinned_and_start_again_inside(
    clone: Clone, command: str, file: str
) -> None:
    clone.make_venv()
    status, out, err = clone.run(command, "--port", "0")
    assert (status, out) == (0, f"in .venv: manage.py {command} --port 0\n")
    assert clone.installs == [file]
    assert "packages, each checked against its recorded hash" in err
    assert clone.run(command)[2] == ""
    assert clone.installs == [file]


def test_test_completes_what_up_installed_and_up_is_content_with_what_test_installed(clone: Clone) -> None:
    clone.make_venv()
    clone.run("up")
    clone.run("test")
    clone.run("up")
    assert clone.installs == ["requirements.txt", "requirements-dev.txt"]


def test_changed_pins_are_installed(clone: Clone) -> None:
    clone.make_venv()
    clone.run("up")
    pins = clone.folder / "config" / "requirements.txt"
    pins.write_text(pins.read_text().replace("django==", "django==9"))
    clone.run("up")
    assert clone.installs == ["requirements.txt", "requirements.txt"]


def test_a_failed_installation_says_so_and_is_tried_again(clone: Clone) -> None:
    clone.make_venv()
    status, out, err = clone.run("up", BROKEN="1", PATH="/usr/bin:/bin")
    assert (status, out) == (1, "")
    assert err.splitlines()[-2:] == ["Collecting django", bootstrap.UNREACHABLE]
    assert not clone.stamp.exists()
    assert clone.run("up")[:2] == (0, "in .venv: manage.py up\n")


def test_two_starts_at_once_install_once(clone: Clone) -> None:
    clone.make_venv()
    starts = [clone.start("up", SLOW="1") for _ in range(2)]
    answers = [start.communicate(timeout=30) for start in starts]
    assert [out for out, _ in answers] == ["in .venv: manage.py up\n"] * 2
    assert clone.installs == ["requirements.txt"]
    waiting = "Another start is installing into .venv; waiting for it ...\n"
    assert sorted(err == waiting for _, err in answers) == [False, True]


def test_no_bootstrap_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "VENV", Path("/nowhere"))
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    monkeypatch.setenv("NO_BOOTSTRAP", "1")
    for command in ("up", "test", "migrate"):
        bootstrap.ensure(["manage.py", command])


def test_an_environment_of_ones_own_that_has_the_packages_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "VENV", Path("/nowhere"))
    monkeypatch.setattr(sys, "prefix", "/somebody/elses")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    monkeypatch.delenv("NO_BOOTSTRAP", raising=False)
    for command in ("up", "test", "migrate"):
        bootstrap.ensure(["manage.py", command])


def test_how_far_it_is_ends_with_the_unpacking(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "time", SimpleNamespace(monotonic=count(0, 3).__next__))
    lines = ["Collecting django", "Collecting httpx", "Installing collected packages: django, httpx", "Done"]
    said = bootstrap._followed(["printf", "%s\\n", *lines], 2)
    assert said == (0, "".join(f"{line}\n" for line in lines))
    assert capsys.readouterr().err.splitlines() == ["  1 of 2", "  2 of 2", "  unpacking ..."]
