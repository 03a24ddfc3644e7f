"""Limits for one test, and the end of the evaluators after the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from automations.expressions import configure


@pytest.fixture
def limits() -> Iterator[Callable[..., None]]:
    """Sets the limits for one test; the defaults, and a breaker that remembers nothing, return after it."""
    yield configure
    configure()


@pytest.fixture(scope="session", autouse=True)
def _no_evaluator_remains() -> Iterator[None]:
    yield
    configure()
