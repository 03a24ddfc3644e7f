"""Prints which test finds which mutant: `python -m tests.mutants [name ...] [--database sqlite]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.ground import migrated
from tests.mutants.hunt import hunt
from tests.postgres import throw_away

DATABASES = ("sqlite", "postgresql")


def main() -> int:
    """0 when all were found."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="of mutants; all by default")
    parser.add_argument("--database", choices=DATABASES, help="both by default")
    options = parser.parse_args()
    survivors = 0
    for database in [options.database] if options.database else DATABASES:
        survivors += _hunt_all(database, only=options.names)
    return 1 if survivors else 0


def _hunt_all(database: str, *, only: list[str]) -> int:
    """The number that nothing found."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["NO_BOOTSTRAP"] = "1"
    import django

    django.setup()
    from tests.mutants.variants import those_of

    mutants = [mutant for mutant in those_of(database) if not only or mutant.name in only]
    found = 0
    print(f"\n== mutants on {database}", flush=True)
    with _server(database) as url, migrated(url) as ground:
        for mutant in mutants:
            verdict = hunt(mutant.name, ground=ground)
            found += verdict.is_killed
            print(f"\n{mutant.name} ({verdict.seconds:.0f} s)\n  breaks: {mutant.breaks}")
            print(f"  found by: {verdict.test or 'NOTHING'}", flush=True)
    print(f"\n{found} of {len(mutants)} found on {database}", flush=True)
    return len(mutants) - found


@contextmanager
def _server(database: str) -> Iterator[str]:
    """The DATABASE_URL of a fresh one; empty for SQLite, which has a file for every run."""
    if database == "sqlite":
        yield ""
        return
    with throw_away() as (url, version):
        print(version)
        yield url


if __name__ == "__main__":
    sys.exit(main())
