"""Makes an API key and prints it, alone, on standard output; or what SuprSend's SDKs take for it, as JSON."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automations.admission import keys
from automations.management.preparing import PreparedCommand
from automations.models import DEFAULT_ENVIRONMENT, SCOPES, Environment


class Command(PreparedCommand):
    help = "Makes an API key and prints it. It is shown this once and cannot be read again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what the log calls whoever uses it, such as the backend's name")
        parser.add_argument(
            "--scopes",
            default="read,invoke,cancel",
            help=f"comma-separated, of: {', '.join(SCOPES)} (default: %(default)s)",
        )
        parser.add_argument(
            "--environment",
            default=DEFAULT_ENVIRONMENT,
            metavar="KEY",
            help="the one environment that it is good for (default: %(default)s)",
        )
        parser.add_argument(
            "--suprsend",
            action="store_true",
            help="print a workspace key and secret, with which SuprSend's SDKs sign; the secret is an API key, too",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        key, text = keys.issue(
            environment=_environment(options["environment"]),
            name=_name(options["name"]),
            scopes=_scopes(options["scopes"]),
            by="command",
            signs=options["suprsend"],
        )
        workspace = {"workspace_key": key.workspace, "workspace_secret": text}
        self.stdout.write(json.dumps(workspace) if options["suprsend"] else text)


def _name(name: str) -> str:
    if not 1 <= len(name.strip()) <= len(name) <= 100 or not name.isprintable():
        raise CommandError("a key's name is a text of up to 100 printable characters")
    return name


def _scopes(words: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        what = f"unknown scope “{unknown[0]}”" if unknown else "no scope given"
        raise CommandError(f"{what}; scopes are: {', '.join(SCOPES)}")
    return scopes


def _environment(key: str) -> Environment:
    environment = Environment.objects.filter(key=key).first()
    if environment is None:
        known = ", ".join(Environment.objects.values_list("key", flat=True))
        raise CommandError(f"there is no environment “{key}”; there are: {known}")
    return environment
