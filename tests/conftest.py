"""Which tests run on which database, what is reported about them, and what every test may use."""

from __future__ import annotations

import gc
import json
import os
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import connection
from hypothesis import settings

from automations import invocation
from automations.models import definitions, forget_endpoints, forget_signing_secrets

pytest_plugins = ["tests.live"]

# The same examples each time, however busy the machine: a failure is one that everybody meets.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("nightly", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

TESTS = Path(__file__).parent
API = TESTS / "api"
# Folders and files whose tests touch no database; a single test elsewhere is marked `pure`.
PURE = (
    *("channels", "config", "definition", "expressions", "model"),
    *("test_architecture.py", "test_linters.py", "test_machine.py", "test_testpoints.py", "test_timeline.py"),
)
# They translate, and hold no statement of their own; what they ask the database for is shown with the native API.
PAGES = [f"logs/test_{name}.py" for name in ("actions", "bulk", "cancel", "run_page")]
DIALECTS = sorted(
    f"api/{file.name}" for vendor in ("courier", "knock", "suprsend") for file in API.glob(f"test_{vendor}*")
)
# What takes long and would hardly show anything else on the other database; the first that fits.
RATHER_ON = {
    "browser/test_accessibility.py": "sqlite",
    "browser": "postgresql",
    "views": "sqlite",
    **dict.fromkeys(PAGES, "sqlite"),
    "api/test_authentication.py": "sqlite",
    "api/test_limits.py": "sqlite",
    "api/test_wire.py": "sqlite",
    **dict.fromkeys(DIALECTS, "sqlite"),
    "cluster/test_cluster.py": "sqlite",
    "test_docs.py": "sqlite",
    "notices/test_live.py": "sqlite",
    "cluster/test_watchdog.py": "postgresql",
    "sdk": "postgresql",
    "api/test_hostile.py": "postgresql",
    "api/test_contract.py": "postgresql",
    "races/test_cut_off.py": "sqlite",
    "races/test_pairs.py": "postgresql",
    "races/test_random_walks.py": "postgresql",
    "races/test_trees.py": "postgresql",
    "chaos/test_census.py": "sqlite",
}
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_setup", "live_server", "product"}
_left_out: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the slow tests as well")
    parser.addoption("--without-pure", action="store_true", help="leave out tests that need no database")
    parser.addoption(
        "--beside-another",
        action="store_true",
        help="leave out what rather runs on another database, unless --all",
    )
    parser.addoption(
        "--products-first",
        action="store_true",
        help="begin with what runs products, and often waits, beside tests of another database, which compute",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        place = item.path.relative_to(TESTS)
        if place.parts[0] in PURE:
            item.add_marker("pure")
        home = _home(place)
        if home is not None and not item.get_closest_marker("pure"):
            item.add_marker(pytest.mark.rather_on(home))
        if item.get_closest_marker("pure") and _uses_database(item):
            raise pytest.UsageError(f"{item.nodeid} is marked pure, and uses the database")
        if _leaves_traces(item):
            raise pytest.UsageError(
                f"{item.nodeid} needs serialized_rollback=True, or the next one like it fails"
            )
        why = _why_not(config, item)
        if why:
            _left_out[why] += 1
        (dropped if why else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept
    if config.getoption("--products-first"):
        items.sort(key=_comes_later)


def pytest_collection_finish() -> None:
    """What was collected stays to the end: the collector of garbage need not walk through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _forget() -> None:
    """Rolled-back tests give the same primary keys to others; what processes keep is dropped between tests."""
    definitions.forget()
    invocation.forget()
    forget_endpoints()
    forget_signing_secrets()
    cache.clear()


def _comes_later(item: pytest.Item) -> bool:
    """Not a product's. Those in a browser come last: its event loop would hide the connections from what follows."""
    return bool(item.get_closest_marker("django_db") or "browser" in getattr(item, "fixturenames", ()))


@lru_cache
def _home(place: Path) -> str | None:
    return next((RATHER_ON[name] for name in RATHER_ON if place.is_relative_to(name)), None)


def _uses_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(item.get_closest_marker("django_db") or fixtures & DATABASE_FIXTURES)


def _leaves_traces(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("django_db")
    given = marker.kwargs if marker is not None else {}
    return bool(given.get("transaction") and not given.get("serialized_rollback"))


def _why_not(config: pytest.Config, item: pytest.Item) -> str | None:
    if item.get_closest_marker("slow") and not config.getoption("--all"):
        return "slow"
    if item.get_closest_marker("pure") and config.getoption("--without-pure"):
        return "pure"
    beside = config.getoption("--beside-another") and not config.getoption("--all")
    rather_on = item.get_closest_marker("rather_on")
    if beside and rather_on is not None and connection.vendor not in rather_on.args:
        return f"rather on {rather_on.args[0]}"
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell `manage.py test` what happened, for the block that it closes with."""
    file = os.environ.get("COUNTERMAND_TEST_REPORT")
    if file is None:
        return
    stats = terminalreporter.stats
    outcomes = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
    skipped = Counter(str(report.longrepr[2]) for report in stats.get("skipped", []))
    counts = {outcome: len(stats.get(outcome, [])) for outcome in outcomes}
    Path(file).write_text(json.dumps(counts | {"reasons": skipped, "left_out": _left_out}))
