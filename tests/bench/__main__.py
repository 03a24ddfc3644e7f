"""Runs the measurements, each in a process and a database of its own: `python -m tests.bench [name ...]`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.postgres import OPTIONS, throw_away

NAMES = ("pump", "cancel", "bars", "filters", "undo", "invoke", "dialects", "hostile", "pages")
DATABASES = ("sqlite", "postgresql")
MEMORY = "shared_buffers=1GB"  # as a server has that holds a million runs


def main() -> int:
    """0 when every measurement came to its end; the figures are for reading, not for passing."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], help=f"of {', '.join(NAMES)}; all by default"
    )
    parser.add_argument("--database", choices=DATABASES, help="both by default")
    parser.add_argument("--small", action="store_true", help="a fiftieth of the rows, to see that it works")
    options = parser.parse_args()
    if options.small:
        os.environ["BENCH_SMALL"] = "1"
    failures = 0
    for database in [options.database] if options.database else DATABASES:
        for name in options.names or NAMES:
            with _fresh(database) as environment:
                print(f"\n== {name} on {database} ({os.cpu_count()} cores)", flush=True)
                failures += (
                    subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], env=environment).returncode
                    != 0
                )
    return 1 if failures else 0


@contextmanager
def _fresh(database: str) -> Iterator[dict[str, str]]:
    """The environment of a process with an empty, migrated database of that kind."""
    with tempfile.TemporaryDirectory(prefix="cm-bench-") as folder:
        environment = {
            **os.environ,
            "COUNTERMAND_DATA": folder,
            "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
            "NO_BOOTSTRAP": "1",
        }
        environment.pop("DATABASE_URL", None)
        if database == "sqlite":
            _migrate(environment)
            yield environment
            return
        with throw_away((*OPTIONS, MEMORY)) as (url, version):
            print(f"\n{version}")
            environment["DATABASE_URL"] = url
            _migrate(environment)
            yield environment


def _migrate(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
    subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
