"""Reads whom SuprSend's calls name, and under which addresses they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automations.api.reading import Body, is_one_line
from automations.invocation import Recipient

LONGEST_ID = 255
MOST = 100
EMAILS, NUMBERS = ("$email", "email"), ("$sms", "$whatsapp", "phone", "phone_number")
_NAMES = frozenset({"distinct_id", "is_transient"})  # what is no property


@dataclass(frozen=True, kw_only=True)
class Named:
    """A recipient with the addresses given for them."""

    recipient: Recipient
    addresses: Sequence[str] = ()


def read_recipients(body: Body, name: str) -> Sequence[Named]:
    """A list with at least one of them."""
    entries = body.entries(name, most=MOST)
    if not body.value.get(name):
        body.refuse(name, "required", f"“{name}” must have at least one entry")
    listed = body.listed(name, entries)
    return [read_recipient(listed, str(place)) for place in range(len(entries))]


def read_recipient(body: Body, name: str, *, required: bool = True) -> Named:
    """A distinct id; or an object with one and what is known of the recipient. Who has none is known by the first
    address; of whom there is no such address either, if transient, only the run knows."""
    if not isinstance(body.value.get(name), dict):
        return Named(recipient=Recipient(id=body.label(name, longest=LONGEST_ID, required=required)))
    members = body.document(name)
    inline = Body(members, f"{body.pointer}/{name}", body.notes)
    emails, numbers = (list(_addresses(members, names)) for names in (EMAILS, NUMBERS))
    identifier = inline.label("distinct_id", longest=LONGEST_ID)
    if identifier is None and "distinct_id" not in inline.value:
        fit = (address for address in (*emails, *numbers) if len(address) <= LONGEST_ID)
        identifier = next(fit, None)
    if (
        identifier is None
        and "distinct_id" not in inline.value
        and inline.value.get("is_transient") is not True
    ):
        inline.refuse("distinct_id", "required", "a recipient needs “distinct_id”, or an address")
    profile = {key: value for key, value in members.items() if key not in _NAMES}
    for plain, known in (("email", emails), ("phone_number", numbers)):
        if known:
            profile.setdefault(plain, known[0])
    return Named(recipient=Recipient(id=identifier, profile=profile), addresses=[*emails, *numbers])


def _addresses(members: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Each a text, or an object with `value`; alone or in a list."""
    for name in names:
        value = members.get(name)
        for entry in value if isinstance(value, list) else [value]:
            address = entry.get("value") if isinstance(entry, dict) else entry
            if isinstance(address, str) and address.strip() and is_one_line(address):
                yield address.strip()
