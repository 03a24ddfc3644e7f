"""The table of tests/browser/README.md names tests that exist, says which are slow, and leaves none out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure
ROOT = Path(__file__).resolve().parent.parent
BROWSER = ROOT / "tests" / "browser"
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`(\*?)")


def named() -> set[tuple[Path, str, bool]]:
    """The tests of the table, and whether a star says that they are slow."""
    found = NAMED.findall((BROWSER / "README.md").read_text(encoding="utf-8"))
    return {
        ((ROOT if file.startswith("tests/") else BROWSER) / file, name, bool(star))
        for file, name, star in found
    }


def written(file: Path) -> dict[str, bool]:
    """The file's tests, and whether they are slow; some parameters' being slow does not count."""
    module = ast.parse(file.read_text(encoding="utf-8"))
    marks = [ast.unparse(one) for one in module.body if isinstance(one, ast.Assign)]
    all_slow = "pytestmark = pytest.mark.slow" in marks
    return {
        one.name: all_slow or any(ast.unparse(mark) == "pytest.mark.slow" for mark in one.decorator_list)
        for one in module.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")
    }  # fmt: skip


def test_every_test_that_is_named_exists_and_is_as_slow_as_said() -> None:
    wrong = [
        (file.name, name) for file, name, slow in named()
        if name not in written(file) or (written(file)[name] != slow and name != "test_axe_finds_nothing")
    ]  # fmt: skip
    assert wrong == []


def test_no_browser_test_is_left_out() -> None:
    there = {(file, name) for file in BROWSER.glob("test_*.py") for name in written(file)}
    of_their_own = {
        "test_without_javascript_the_documents_are_linked",
        "test_the_scene_holds_a_run_of_each_look",
    }
    assert {name for file, name in there - {(file, name) for file, name, _ in named()}} == of_their_own
