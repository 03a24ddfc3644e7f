"""`manage.py cluster`: the workers alone, under the watchdog, for further machines."""

from __future__ import annotations

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connection

from automations.management.preparing import answering
from automations.models import database_name, is_prepared, unprepared

PATIENCE = 30.0  # seconds that another machine has to make the tables
PAUSE = 0.5


class Command(BaseCommand):
    requires_system_checks = ()  # the tests run them; here they would double the start
    help = "Runs the workers until TERM, HUP or Ctrl-C, and replaces them when they stop working."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tree", action="store_true", help="the workers without the watchdog (internal)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tree"]:
            from automations.cluster.tree import run_tree

            sys.exit(run_tree())
        from automations.cluster.watchdog import Watchdog

        self.stdout.write(f"The workers' database is {database_name()}.")
        self.stdout.flush()
        with answering():
            self._await_tables()
        sys.exit(Watchdog().watch())

    def _await_tables(self) -> None:
        """Returns when the tables are there. CommandError when they are not within PATIENCE."""
        until, said = time.monotonic() + PATIENCE, False
        while not _may_have_tables():
            if time.monotonic() > until:
                raise CommandError(unprepared())
            if not said:
                said = True
                self.stderr.write(f"{unprepared()} Waiting {PATIENCE:.0f} s for whoever does that now ...")
            time.sleep(PAUSE)


def _may_have_tables() -> bool:
    """False of a database that answers and has none; one that is down the workers wait for."""
    try:
        return is_prepared()
    except OperationalError:
        return True
    finally:
        connection.close()
