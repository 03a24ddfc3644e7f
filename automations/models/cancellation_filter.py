"""Which runs a cancellation is for, as a condition in both of the ways in which it is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, models

from automations.models.kept import ANY_OF, array, text_array
from automations.models.lookups import tagged
from automations.models.uid import first_uid

Parts = list[tuple[str, list[Any]]]
# In any environment: it is asked for beside this one, and a subquery that names it would be asked row by row.
TENANTS = "invocation_id IN (SELECT i.id FROM automations_invocation i WHERE i.tenant = %s)"
EITHER = "(token = %s OR key = %s)"
TOKENED = "token = %s"
KEYED = "key = %s AND (token IS NULL OR token <> %s)"
SKEW = timedelta(hours=1)  # between the clocks of machines that make uids and the database's
FIRST_SINCE = """
id {sign} COALESCE((SELECT r.id FROM automations_run r WHERE r.uid >= %s ORDER BY r.uid LIMIT 1), 9223372036854775807)
"""
TAGGED_INVOCATIONS = """
invocation_id IN (SELECT i.id FROM automations_invocation i WHERE i.tags <> '[]' AND {tagged})
"""


@dataclass(frozen=True, kw_only=True)
class CancellationFilter:
    """Fields ANDed, values within one field ORed; moments are UTC.

    `token` matches a run's token or its key, `key` the key alone. What a caller names otherwise than the records
    do is looked up once, into the field behind it: `run_ids` into `run_pks`, `automation` into `automation_id`,
    `invocation` and `idempotency_key` into `invocation_pks`. `up_to` is the highest primary key that it covers.
    `everything` is all runs of the environment; an empty filter is refused, it never means that.
    """

    token: str | None = None
    key: str | None = None
    run_ids: tuple[UUID, ...] = ()
    run_pks: tuple[int, ...] | None = None
    recipients: tuple[str, ...] = ()
    automation: str | None = None
    automation_id: int | None = None
    invocation: UUID | None = None
    idempotency_key: str | None = None
    invocation_pks: tuple[int, ...] | None = None
    source: str | None = None
    tenant: str | None = None
    tags: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    due_after: datetime | None = None
    due_before: datetime | None = None
    everything: bool = False
    not_invocation_id: int | None = None
    up_to: int | None = None

    def condition(self, *, of: str = "") -> models.Q:
        """The filter over LiveRun, or what is joined with it (`of`), except that a due time matches in any state."""
        conditions: dict[str, Any] = {
            "key": self.key, "pk__in": self.run_pks, "recipient__in": self.recipients or None,
            "automation_id": self.automation_id, "invocation_id__in": self.invocation_pks, "source": self.source,
            "tenant": self.tenant, "tags__tagged": self.tags or None, "created_at__gte": self.created_after,
            "created_at__lte": self.created_before, "pk__lte": self.up_to,
        }  # fmt: skip
        condition = models.Q(
            **{f"{of}{name}": value for name, value in conditions.items() if value is not None}
        )
        if self.token is not None:
            condition &= models.Q(**{f"{of}token": self.token}) | models.Q(**{f"{of}key": self.token})
        if self.due_after is not None:
            parked = f"{of}parked_due_at"
            condition &= models.Q(**{f"{of}due_at__gte": self.due_after, f"{of}awaits": None}) & (
                models.Q(**{parked: None}) | models.Q(**{f"{parked}__gte": self.due_after})
            )
        if self.due_before is not None:
            condition &= due_before(self.due_before, of=of)
        if self.not_invocation_id is not None:
            condition &= ~models.Q(**{f"{of}invocation_id": self.not_invocation_id})
        return condition

    def where(self, *, label: str = EITHER) -> tuple[str, list[Any]]:
        """The same as a part of a WHERE over automations_liverun, with its parameters; with one of `labels` only
        those runs which a token finds that way."""
        tenant: Parts = [("tenant = %s", [self.tenant])] if self.tenant is not None else []
        return _joined([*self._shared("run_id", label), *_tagged("tags", self.tags), *tenant, *self._due()])

    def where_archived(self, *, label: str = EITHER) -> tuple[str, list[Any]]:
        """The same over automations_run, where nothing is due any more; tags and tenant are the invocation's."""
        due: Parts = [("1 = 0", [])] if self._due() else []
        tenant: Parts = [(TENANTS, [self.tenant])] if self.tenant is not None else []
        tags = _tagged_invocation(self.tags)
        return _joined([*self._shared("id", label), *tags, *tenant, *self._born(), *due])

    @property
    def is_plain(self) -> bool:
        """Whether a token, a key or runs named one by one are all that it says. Such a filter is carried out in the
        same way whatever they are, and planned once."""
        given = {name for name, value in self.__dict__.items() if value not in (None, (), False)}
        return given - _BESIDE in ({"token"}, {"key"}, {"run_pks"})

    @property
    def labels(self) -> tuple[str, ...]:
        """The ways in which it finds a run, no run in two of them, for what is counted up to a limit: PostgreSQL
        would gather all that an OR may find before it counted the first."""
        return (TOKENED, KEYED) if self.token is not None and self.is_plain else (EITHER,)

    def _shared(self, pk: str, label: str) -> Parts:
        """What both tables have a column for; `pk` is the one with the run's key."""
        parts: Parts = []
        if self.token is not None:
            parts.append((label, [self.token] * label.count("%s")))
        for column, pks in ((pk, self.run_pks), ("invocation_id", self.invocation_pks)):
            if pks is not None:
                parts.append((f"{column} {ANY_OF[connection.vendor]}", [array(pks)]))
        if self.recipients:
            parts.append((f"recipient {ANY_OF[connection.vendor]}", [text_array(list(self.recipients))]))
        compared = {
            "key = %s": self.key, "automation_id = %s": self.automation_id, "source = %s": self.source,
            "created_at >= %s": self.created_after, "created_at <= %s": self.created_before,
            "invocation_id <> %s": self.not_invocation_id, f"{pk} <= %s": self.up_to,
        }  # fmt: skip
        return parts + [(text, [_value(value)]) for text, value in compared.items() if value is not None]

    def _due(self) -> Parts:
        """A run that is put aside is due in the far future; when it is due in truth is kept beside. One that waits for
        a child is not due at all."""
        compared = {
            "due_at >= %s AND awaits IS NULL AND (parked_due_at IS NULL OR parked_due_at >= %s)": self.due_after,
            "(due_at < %s OR parked_due_at < %s)": self.due_before,
        }
        return [(text, [_value(value)] * 2) for text, value in compared.items() if value is not None]

    def _born(self) -> Parts:
        """Bounds for the primary keys of runs created in that range, so that history is not read whole: created_at
        has no index, ids grow with time, and the first of a time is found through its time-ordered uid."""
        bounds = {">=": (self.created_after, -SKEW), "<": (self.created_before, SKEW)}
        return [
            (FIRST_SINCE.format(sign=sign), [_value(first_uid(moment + skew))])
            for sign, (moment, skew) in bounds.items()
            if moment is not None
        ]

    def matches(self, live: Any) -> bool:
        """Whether it is for this LiveRun, by what it was born with: a due time and a state are not looked at."""
        labels = (live.token, live.key)
        return (
            (self.token is None or self.token in labels)
            and (self.key is None or live.key == self.key)
            and (self.run_pks is None or live.pk in self.run_pks)
            and (not self.recipients or live.recipient in self.recipients)
            and (self.automation_id is None or live.automation_id == self.automation_id)
            and (self.invocation_pks is None or live.invocation_id in self.invocation_pks)
            and (self.source is None or live.source == self.source)
            and (self.tenant is None or live.tenant == self.tenant)
            and (not self.tags or not set(self.tags).isdisjoint(live.tags or ()))
            and (self.created_after is None or live.created_at >= self.created_after)
            and (self.created_before is None or live.created_at <= self.created_before)
            and live.invocation_id != self.not_invocation_id
            and (self.up_to is None or live.pk <= self.up_to)
        )

    @property
    def states(self) -> tuple[str, ...]:
        """The states of a run that it calls off: a run that has started its step is not due any more."""
        return ("waiting",) if self._due() else ("waiting", "running")

    @property
    def is_of_all(self) -> bool:
        """Whether it is for every run there was up to `up_to`."""
        return self == CancellationFilter(everything=True, up_to=self.up_to)

    @property
    def is_empty(self) -> bool:
        """Whether nothing narrows it."""
        spared = {"not_invocation_id": None, "up_to": None}
        return self == CancellationFilter(**{name: getattr(self, name) for name in spared})

    @property
    def bar(self) -> str | None:
        """The one equality by which the runs of a bar are known: `Cancellation.bar`. None where it cannot be one:
        runs named one by one, and due times, which change."""
        if self.run_pks is not None or self.run_ids or self._due():
            return None
        named = {
            "label": self.token, "key": self.key,
            "recipient": self.recipients[0] if len(self.recipients) == 1 else None,
            "invocation": (self.invocation_pks or (None,))[0] if len(self.invocation_pks or ()) == 1 else None,
            "source": self.source, "tenant": self.tenant, "automation": self.automation_id,
        }  # fmt: skip
        return next((f"{name}:{value}" for name, value in named.items() if value is not None), "all")

    @property
    def lasting_bar(self) -> str | None:
        """The same for a bar that is needed however few runs it is for. None for due times alone."""
        return None if self._due() else self.bar or "all"

    def as_json(self) -> dict[str, Any]:
        """As stored; `from_json` reads it back."""
        plain = {
            name: value for name, value in self.__dict__.items() if value is not None and value is not False
        }
        kept = {name: value for name, value in plain.items() if value != () or name in _LOOKED_UP}
        stored: dict[str, Any] = json.loads(json.dumps(kept, default=_as_text))
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CancellationFilter:
        """The filter that `as_json` stored."""
        known = {field.name for field in fields(cls)} & stored.keys()
        return cls(**{name: _READ.get(name, _plain)(stored[name]) for name in known})


def due_before(moment: datetime, *, of: str = "") -> models.Q:
    """Over LiveRun, or what is joined with it (`of`): due before that moment (UTC), put aside or not."""
    return models.Q(**{f"{of}due_at__lt": moment}) | models.Q(**{f"{of}parked_due_at__lt": moment})


def _joined(parts: Parts) -> tuple[str, list[Any]]:
    return " AND ".join(text for text, _ in parts) or "1 = 1", [
        value for _, values in parts for value in values
    ]


def _tagged(column: str, tags: tuple[str, ...]) -> Parts:
    """Whether a JSON list holds one of the tags."""
    if not tags:
        return []
    return [tagged(column, tags, vendor=connection.vendor)]


def _tagged_invocation(tags: tuple[str, ...]) -> Parts:
    """The same over runs, whose invocation has the list. PostgreSQL may choose where to begin: at the invocations
    that have the tag, or at the runs that the other conditions leave. SQLite has no index to begin at."""
    if connection.vendor != "postgresql":
        return _tagged("(SELECT i.tags FROM automations_invocation i WHERE i.id = invocation_id)", tags)
    return [(TAGGED_INVOCATIONS.format(tagged=text), values) for text, values in _tagged("i.tags", tags)]


def _value(value: Any) -> Any:
    if isinstance(value, UUID) and not connection.features.has_native_uuid_field:
        return value.hex
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_BESIDE = {"run_ids", "up_to", "not_invocation_id"}  # said beside what it is by, or behind that
_LOOKED_UP = ("run_pks", "invocation_pks")  # looked up and found empty: they match nothing


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_READ: dict[str, Any] = {
    "run_ids": lambda texts: tuple(UUID(text) for text in texts), "invocation": UUID,
    **dict.fromkeys(("created_after", "created_before", "due_after", "due_before"), datetime.fromisoformat),
}  # fmt: skip
