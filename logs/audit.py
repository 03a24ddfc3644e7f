"""Finds what the audit log tells, in words and as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from automations.models import AuditEntry, Environment
from logs import words
from logs.export import Line, csv_of
from logs.search import row_number

SIZE = 50
CHUNK = 500  # entries read at once
LONGEST = 300
KINDS = ("user", "key", "automation", "message", "provider", "webhook", "environment", "cancellation", "list")
COLUMNS = ("at", "actor", "action", "object", "environment", "before", "after", "address")
ACTIONS = {
    "automation": "Automations", "runs": "Cancellations", "key": "API keys", "user": "Users", "login": "Logins",
    "message": "Messages", "list": "Lists", "provider": "Providers", "webhook": "Webhooks",
    "environment": "Environments",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AuditSearch:
    """What one address asks for: `text` is, or begins, an actor or an object, with its kind or without; `action` one
    of ACTIONS; `before` the entry after which an older page begins."""

    text: str = ""
    action: str = ""
    before: int | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> AuditSearch:
        """The search that a query string describes; what it does not know, it leaves out."""
        action = query.get("action", "")
        return cls(
            text=query.get("q", "").strip()[:LONGEST].replace("\0", ""),
            action=action if action in ACTIONS else "",
            before=row_number(query.get("before", "")),
        )

    def address(self, **changes: Any) -> str:
        """The canonical query string of this search with these changes; "" or "?…"."""
        search = replace(self, **changes)
        fields = {"q": search.text, "action": search.action, "before": search.before}
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"?{query}" if query else ""

    def entries(self, environment: Environment) -> QuerySet[AuditEntry]:
        """The entries of the environment and of all environments that it asks for, newest first."""
        found = AuditEntry.objects.filter(Q(environment=environment) | Q(environment=None)).order_by("-pk")
        if self.text:
            begun = [self.text, *(f"{kind}/{self.text}" for kind in KINDS)]
            said = [Q(actor__has_prefix=text) | Q(object__has_prefix=text) for text in begun]
            found = found.filter(reduce(or_, said))
        if self.action:
            found = found.filter(action__has_prefix=f"{self.action}.")
        return found if self.before is None else found.filter(pk__lt=self.before)

    def page(self, environment: Environment) -> tuple[list[AuditEntry], int | None]:
        """One page, and where the next begins, None on the last."""
        found = list(self.entries(environment)[: SIZE + 1])
        return found[:SIZE], found[SIZE - 1].pk if len(found) > SIZE else None


def as_csv(search: AuditSearch, *, environment: Environment) -> Iterator[str]:
    """All that the search finds, newest first; no field is taken for a formula."""
    found = replace(search, before=None).entries(environment).select_related("environment")
    yield from csv_of(COLUMNS, (_line(entry) for entry in found.iterator(chunk_size=CHUNK)))


def _line(entry: AuditEntry) -> Line:
    return {
        "at": words.stamp(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "object": entry.object,
        "environment": entry.environment.key if entry.environment else None,
        "before": _json(entry.before),
        "after": _json(entry.after),
        "address": entry.address,
    }


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)
