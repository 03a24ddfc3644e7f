"""The editor's pages as a test sends and reads them."""

from __future__ import annotations

import json
from typing import Any

from automations import publication
from automations.models import Automation
from tests.pages import Element, read
from tests.people import client
from tests.scenes import DELAY, SEND, production

TOKEN = "user-{{data.user_id}}"
DEFINITION = {"cancellation_token": TOKEN, "steps": [SEND, DELAY]}
HTMX = {"HX-Request": "true"}


def draft(definition: dict[str, Any] | None = None, key: str = "welcome") -> None:
    publication.create(
        environment=production(), key=key, name="Welcome", definition=definition or DEFINITION, by="user/otto"
    )


def stored(key: str = "welcome") -> Automation:
    return Automation.objects.select_related("published").get(key=key)


def post(place: str = "", *, htmx: Any = False, **fields: Any) -> Any:
    """Sends the form at that place, as it would be made now unless a revision is given."""
    automation = stored()
    made_of = {"revision": str(automation.draft_revision), "base": json.dumps(automation.draft)}
    headers = HTMX if htmx else {}
    return client("admin").post(f"/templates/welcome/{place}", {**made_of, **fields}, headers=headers)


def get(place: str = "", role: str = "admin") -> Element:
    return read(client(role).get(f"/templates/welcome/{place}"))


def said(page: Element, field: str) -> list[str]:
    return page.one(f"#said-f-{field}").texts("p")
