"""A plugin of pytest that breaks one rule for the whole process: `-p tests.mutants.plugin --mutant NAME`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutant", required=True, help="the known-bad variant to test")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Django is set up by now, and no test has run."""
    from tests.mutants.variants import MUTANTS

    MUTANTS[session.config.getoption("--mutant")].apply()


# Whose tests look at what the mutants of a file break: they come first, and then the tests of one fault each, so that
# what is found is found soon and called by its name.
FIRST = {
    "holds": ("test_holds", "test_cancel_step"),
    "parking": ("test_holding",),
    "undoing": ("test_undo",),
    "trees": ("test_trees", "test_children", "test_undo_trees"),
}
THEN = ("test_scenarios", "test_cut_off")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    from tests.mutants.variants import MUTANTS

    module = MUTANTS[config.getoption("--mutant")].apply.__module__.rpartition(".")[2]
    places = (FIRST.get(module, ()), THEN)

    def place(item: pytest.Item) -> int:
        return next((at for at, stems in enumerate(places) if item.path.stem.startswith(stems)), len(places))

    items.sort(key=place)
