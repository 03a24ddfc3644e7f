"""Brings journeys over from Courier, under the ids that backends invoke them by."""

from __future__ import annotations

import re
from pathlib import Path

from automations.api.courier.journeys import DRAFT, PUBLISHED
from automations.api.courier.nodes import MOST_NODES, definition_of
from automations.api.parsing import parse
from automations.api.reading import Body
from automations.management.commands import apply
from automations.models import KEY_PATTERN, Automation, Environment, No, Refusal


class Command(apply.Command):
    help = "Creates or updates automations from journeys, as Courier's GET /journeys/{id} shows them; publishes them."
    places = {"/key": "/id", "/alias": "/id"}

    def read(self, file: Path, environment: Environment) -> object:
        """The journey as `publication.apply` takes it; an id that cannot be a key becomes the alias. Refusal for one
        that is not live at Courier, and for one whose place is another's."""
        journey = parse(file.read_bytes(), called="the file")
        if not isinstance(journey, dict):
            raise Refusal.at("", "invalid", "a journey must be an object", kind=No.MALFORMED)
        body = Body(journey, strict=False)
        name, identifier = (body.label(member, longest=200, required=True) or "" for member in ("name", "id"))
        nodes, token = body.entries("nodes", most=MOST_NODES), body.expression("cancelation_token")
        if "enabled" in body.value and not body.flag("enabled"):
            body.refuse("enabled", "disabled", "the journey is disabled, and would be live here")
        if body.choice("state", (DRAFT, PUBLISHED), PUBLISHED) == DRAFT:
            body.refuse(
                "state", "unpublished", "the journey is a draft, and would be live here; publish it first"
            )
        body.finish()
        kept = {} if token is None else {"cancellation_token": token}
        document = {"name": name, "definition": definition_of(nodes, kept=kept, runnable=True)}
        key, alias = identifier, None
        if not re.match(KEY_PATTERN, identifier):
            key, alias = re.sub(r"[^a-z0-9_.-]+", "-", identifier.lower()), identifier
        _check_place(environment, key=key, alias=alias)
        return {**document, "key": key, "alias": alias}


def _check_place(environment: Environment, *, key: str, alias: str | None) -> None:
    """Refusal where an automation of that key has another alias: several ids can fold to one key."""
    there = Automation.objects.within(environment).filter(key=key).only("alias").first()
    if there is None or there.alias == alias:
        return
    has = "no alias" if there.alias is None else f"the alias “{there.alias}”"
    same = "take that away" if alias is None else f"make it “{alias}”"
    message = f"there is an automation “{key}” with {has}; if it is the same one, {same} first"
    raise Refusal.at("/id", "taken", message)
