"""A plugin of pytest that breaks one rule for the whole process: `-p tests.mutants.plugin --mutant NAME`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutant", required=True, help="the known-bad variant to test")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Django is set up by now, and no test has run."""
    from tests.mutants.variants import MUTANTS

    MUTANTS[session.config.getoption("--mutant")].apply()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of one fault each come first: what they find, they call by its name."""
    items.sort(key=lambda item: not item.path.stem.startswith(("test_scenarios", "test_cut_off")))
