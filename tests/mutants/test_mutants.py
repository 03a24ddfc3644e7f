"""The suite finds every known-bad variant of the product; those of both databases are hunted on SQLite here, where that
takes less long, and on both by `python -m tests.mutants`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection

from tests.ground import Ground, migrated
from tests.mutants.hunt import hunt
from tests.mutants.variants import MUTANTS, those_of

pytestmark = pytest.mark.slow


HUNTED_HERE = [
    mutant.name for mutant in those_of(connection.vendor) if (mutant.only or "sqlite") == connection.vendor
]


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with migrated(settings.DATABASE_URL if connection.vendor == "postgresql" else "") as ground:
        yield ground


@pytest.mark.parametrize("name", HUNTED_HERE)
def test_the_suite_fails_on_this_mutant(name: str, ground: Ground) -> None:
    verdict = hunt(name, ground=ground)
    assert verdict.is_killed, verdict.output


def test_every_mutant_says_which_rule_it_breaks() -> None:
    assert [mutant.name for mutant in MUTANTS.values() if len(mutant.breaks) < 40] == []
    assert {mutant.only for mutant in MUTANTS.values()} == {None, "sqlite", "postgresql"}
