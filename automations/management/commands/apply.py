"""Creates or updates automations from files, and publishes what changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automations import publication
from automations.api.parsing import parse
from automations.api.reading import Body
from automations.management.preparing import PreparedCommand
from automations.models import DEFAULT_ENVIRONMENT, Environment, Refusal


class Command(PreparedCommand):
    help = (
        "Creates or updates automations from JSON files {key, alias?, name, definition}, and publishes them."
    )

    places: Mapping[str, str] = {}  # where a file says what `publication.apply` points at

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument(
            "--environment",
            default=DEFAULT_ENVIRONMENT,
            metavar="KEY",
            help="where the automations belong (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        environment = Environment.objects.filter(key=options["environment"]).first()
        if environment is None:
            raise CommandError(f"there is no environment “{options['environment']}”")
        faults: list[str] = []
        for file in options["files"]:
            try:
                document = self.read(file, environment)
                automation, done = publication.apply(environment=environment, document=document, by="apply")
            except OSError as error:
                faults.append(f"{file}: {error.strerror}")
            except Refusal as refusal:
                refusal.point(self.places)
                faults += _located(file, refusal)
            else:
                version = automation.published.number if automation.published else None
                self.stdout.write(f"{automation.key}: {done}, version {version}")
        if faults:
            raise CommandError("\n".join(faults))

    def read(self, file: Path, environment: Environment) -> object:
        """The file's JSON, its members of the right types; what they say is for `publication.apply` to judge."""
        document = parse(file.read_bytes(), called="the file")
        if isinstance(document, dict):
            body = Body(document)
            body.text("key", required=True)
            for optional in ("name", "alias", "description"):
                body.text(optional)
            body.document("definition", required=True)
            body.finish()
        return document


def _located(file: Path, refusal: Refusal) -> list[str]:
    """What is wrong with the file, and where."""
    places = [(problem.pointer, problem.message) for problem in refusal.problems] or [("", refusal.message)]
    return [f"{file}{' at ' if pointer else ''}{pointer}: {message}" for pointer, message in places]
