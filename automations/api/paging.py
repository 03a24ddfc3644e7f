"""Pages through lists by key, newest first: a cursor names the last entry seen, opaque to the caller."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from automations.api.reading import Query
from automations.api.schemas import TEXT, Schema, answer, listed, nullable, ref, text, whole

Entry = TypeVar("Entry")

STANDARD_LIMIT = 50
HIGHEST_LIMIT = 200
PAGED: Mapping[str, Schema] = {
    "limit": {**whole(1, HIGHEST_LIMIT), "default": STANDARD_LIMIT},
    "cursor": {**text(100), "description": "The `next_cursor` of the page before."},
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """What part of a list is asked for: `limit` entries behind the one with the key `after`."""

    limit: int
    after: str | None

    @property
    def before(self) -> int | None:
        """The key as a number."""
        return None if self.after is None else int(self.after)

    @property
    def fetch(self) -> int:
        """One more than shown: it tells whether there is a next page."""
        return self.limit + 1

    def cut(self, fetched: Iterable[Entry], key: Callable[[Entry], object]) -> tuple[list[Entry], str | None]:
        """The entries to show, out of those fetched, and the cursor of the next page."""
        entries = list(fetched)
        if len(entries) <= self.limit:
            return entries, None
        shown = entries[: self.limit]
        return shown, encode(str(key(shown[-1])))


def page_of(name: str) -> Schema:
    """A page of the components of that name, as the native API answers it."""
    return answer({"items": listed(ref(name), HIGHEST_LIMIT), "next_cursor": nullable(TEXT)})


def asked(query: Query, *, pattern: str = r"\d{1,18}") -> Page:
    """The page that `limit` and `cursor` ask for; `pattern` is what the list's keys look like."""
    limit = query.number("limit", STANDARD_LIMIT, least=1, most=HIGHEST_LIMIT)
    return Page(limit=int(limit), after=cursor(query, pattern=pattern))


def cursor(query: Query, *, name: str = "cursor", pattern: str = r"\d{1,18}") -> str | None:
    """The key that the parameter of that name holds."""
    text = query.text(name, longest=100)
    if text is None:
        return None
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (ValueError, binascii.Error):
        key = ""
    if not re.fullmatch(pattern, key, re.ASCII):
        query.refuse(name, "invalid", f"“{name}” must be a cursor that came with this list")
        return None
    return key


def encode(key: str) -> str:
    """The cursor that stands for the key."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
