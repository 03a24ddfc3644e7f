"""`manage.py cluster`: the workers alone, under the watchdog, for further machines."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    requires_system_checks = ()  # the tests run them; here they would double the start
    help = "Runs the workers until TERM or Ctrl-C, and replaces them when they stop working."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tree", action="store_true", help="the workers without the watchdog (internal)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tree"]:
            from automations.cluster.tree import run_tree

            sys.exit(run_tree())
        from automations.cluster.watchdog import Watchdog

        sys.exit(Watchdog().watch())
