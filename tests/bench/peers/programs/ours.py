"""Ours: one ad hoc invocation per thousand runs, each a delay until its moment and then the step; on the workers'
side the channel the step goes by, which only the bench has."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import django
from django.apps import AppConfig
from django.core.management import call_command

from tests.bench.cancel import ours as cancelled
from tests.bench.peers.programs.step import Item, serve, stamp

STEP: dict[str, Any] = {"action": "send", "message": {"channel": "stamp", "content": {"body": "step"}}}
WAIT: dict[str, Any] = {"action": "delay", "until": "{{profile.due}}"}


class Stamping(AppConfig):
    """Adds the channel to the product's own."""

    name = "tests.bench.peers.programs"

    def ready(self) -> None:
        from automations import channels, definition

        effect_seconds = float(os.environ.get("EFFECT_SECONDS", "0"))

        def send(message: channels.Message, /, *, deadline: float) -> dict[str, Any]:
            """Notes the start; `EFFECT_SECONDS` is how long the effect takes."""
            stamp(int(message.recipient or 0))
            if effect_seconds:
                time.sleep(effect_seconds)
            return {}

        channels.CHANNELS["stamp"] = send
        definition.CHANNEL_NAMES.add("stamp")


def create(items: Sequence[Item]) -> None:
    from automations.execution import accept
    from automations.invocation import MOST_RECIPIENTS, InvokeRequest, Recipient
    from tests.scenes import production

    recipients = [
        Recipient(
            id=str(item["index"]),
            profile={**item["data"], "due": _iso(item["due"]), "token": item.get("token")},
        )
        for item in items
    ]
    definition: dict[str, Any] = {"steps": [WAIT, STEP]}
    if items and "token" in items[0]:
        definition["cancellation_token"] = "{{profile.token}}"
    for start in range(0, len(items), MOST_RECIPIENTS):
        accept(
            InvokeRequest(
                environment=production(), actor="key/bench", source="bench", dialect="native",
                definition=definition, recipients=recipients[start : start + MOST_RECIPIENTS],
            )
        )  # fmt: skip


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def left() -> int:
    from automations.models import LiveRun

    return LiveRun.objects.count()


def cancel(index: int) -> None:
    cancelled(f"one-{index}")


def cancel_many() -> None:
    cancelled("many")


def main() -> None:
    django.setup()
    call_command("migrate", verbosity=0)
    serve(version="here", create=create, left=left, cancel=cancel, cancel_many=cancel_many)


if __name__ == "__main__":
    main()
