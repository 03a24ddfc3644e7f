"""Reads whom Knock's calls name: users by id or with properties, and objects of a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

from automations.api.reading import Body
from automations.invocation import Recipient

LONGEST_ID = 255
OBJECT = "object:"
TENANTS = "$tenants"  # the collection in which Knock keeps them
# What identifies a recipient; all else are properties.
_NAMES = frozenset({"id", "collection"})


def read_recipients(body: Body, name: str, *, most: int) -> Sequence[Recipient]:
    """A list of them; absent is empty."""
    entries = body.entries(name, most=most)
    listed = body.listed(name, entries)
    return [read_recipient(listed, str(place), required=True) for place in range(len(entries))]


def read_recipient(body: Body, name: str, *, required: bool = False) -> Recipient:
    """An id, or an object with `id`, perhaps `collection`, and the properties known with it."""
    if not isinstance(body.value.get(name), dict):
        return Recipient(id=body.label(name, longest=LONGEST_ID, required=required))
    members = body.document(name)
    inline = Body(members, f"{body.pointer}/{name}", body.notes)
    identifier = inline.label("id", longest=LONGEST_ID, required=True)
    collection = inline.label("collection", longest=LONGEST_ID)
    if identifier is not None and collection is not None:
        identifier = object_text(collection, identifier)
        if len(identifier) > LONGEST_ID:
            inline.refuse(
                "id", "too_long", f"“collection” and “id” may have {LONGEST_ID} characters together"
            )
    return Recipient(
        id=identifier, profile={key: value for key, value in members.items() if key not in _NAMES}
    )


def acquaintances(body: Body, *, actor: Recipient, tenant: Recipient) -> Sequence[Recipient]:
    """Those of the two of whom the body tells more than the id. A tenant is not the user of the same id."""
    if tenant.id is not None and tenant.profile and not tenant.id.startswith(OBJECT):
        tenant = replace(tenant, id=object_text(TENANTS, tenant.id))
        if len(tenant.id or "") > LONGEST_ID:
            longest = LONGEST_ID - len(object_text(TENANTS, ""))
            body.refuse(
                "tenant", "too_long", f"a tenant's id may have {longest} characters where more is told"
            )
    return [one for one in (actor, tenant) if one.id is not None and one.profile]


def object_text(collection: str, identifier: str) -> str:
    """The object as the records name a recipient; a user whose id is this text would be the same recipient."""
    return f"{OBJECT}{quote(collection, safe='')}/{identifier}"


def reference(text: str | None) -> str | Mapping[str, Any] | None:
    """The recipient as Knock shows it: a user's id, or an object with `id` and `collection`."""
    if text is None or not text.startswith(OBJECT) or "/" not in text:
        return text
    collection, _, identifier = text.removeprefix(OBJECT).partition("/")
    return {"id": identifier, "collection": unquote(collection)}
