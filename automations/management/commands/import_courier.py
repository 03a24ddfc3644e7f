"""Brings journeys over from Courier, under the ids that backends invoke them by."""

from __future__ import annotations

import re
from pathlib import Path

from automations.api.courier.nodes import MOST_NODES, definition_of
from automations.api.parsing import parse
from automations.api.reading import Body
from automations.management.commands import apply
from automations.models import KEY_PATTERN, No, Refusal


class Command(apply.Command):
    help = "Creates or updates automations from journeys, as Courier's GET /journeys/{id} shows them; publishes them."

    def read(self, file: Path) -> object:
        """The journey as `publication.apply` takes it; an id that cannot be a key becomes the alias."""
        journey = parse(file.read_bytes())
        if not isinstance(journey, dict):
            raise Refusal.at("", "invalid", "a journey must be an object", kind=No.MALFORMED)
        body = Body(journey, strict=False)
        name, identifier = (body.label(member, longest=200, required=True) or "" for member in ("name", "id"))
        nodes, token = body.entries("nodes", most=MOST_NODES), body.expression("cancelation_token")
        body.finish()
        kept = {} if token is None else {"cancellation_token": token}
        document = {"name": name, "definition": definition_of(nodes, kept=kept, runnable=True)}
        if re.match(KEY_PATTERN, identifier):
            return {**document, "key": identifier}
        return {**document, "key": re.sub(r"[^a-z0-9_.-]+", "-", identifier.lower()), "alias": identifier}
