"""The suite finds every known-bad variant of the product; those of both databases are hunted on PostgreSQL here, and
on both by `python -m tests.mutants`."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.live import database_url
from tests.mutants.hunt import hunt
from tests.mutants.variants import MUTANTS, those_of

pytestmark = pytest.mark.slow


HUNTED_HERE = [
    mutant.name
    for mutant in those_of(connection.vendor)
    if (mutant.only or "postgresql") == connection.vendor
]


@pytest.mark.parametrize("name", HUNTED_HERE)
def test_the_suite_fails_on_this_mutant(name: str) -> None:
    with database_url() as url:
        verdict = hunt(name, database_url=url)
    assert verdict.is_killed, verdict.output


def test_every_mutant_says_which_rule_it_breaks() -> None:
    assert [mutant.name for mutant in MUTANTS.values() if len(mutant.breaks) < 40] == []
    assert {mutant.only for mutant in MUTANTS.values()} == {None, "sqlite", "postgresql"}
