"""A search of the logs as the fields of the form that cancels many runs, and what of it that form cannot ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from automations.models import Environment, Invocation, Run, RunQuerySet, RunStatus, standing
from automations.models.run_search import CappedCount
from logs.bulk_forms import MOST_RUNS
from logs.search import Qualified, Search

# The form's field of each field of a search, and what both are called.
FIELDS = {"token": "token", "source": "source", "recipient": "recipients", "key": "key"}
UNFINISHED = (RunStatus.WAITING, RunStatus.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Carried:
    """`fields` of the form by name; `left_out` says in words what the list showed and the form will not ask for."""

    fields: dict[str, str]
    left_out: Sequence[str]


def asked_by(search: Search, *, environment: Environment, now: datetime) -> Carried:
    """What the form begins with. It finds what *is* a value, never what begins with it: one statement tells in which
    field a text without a qualifier hits, and one of each `key:` whether it is a key or an idempotency key."""
    fields: dict[str, str] = {}
    left_out = [f"status {search.status}"] if search.status else []
    if any(search.unread):
        left_out.append("a span that is none")
    left_out += [f"{name} {value}" for name, value in search.odd]
    if search.cancellation:
        left_out.append("what one cancellation called off")
    for part in search.qualified:
        field, *others = _fields_of_part(part, search, environment)
        if (name := _name_of(field)) in fields:
            left_out.append(f"{part.field} {part.value}")
            continue
        fields[name] = part.value
        left_out += [f"{other} {part.value}" for other in others]
        if not part.whole:
            left_out.append(f"what only begins with {part.field} {part.value}")
    if search.bare:
        field, *others = _fields_of(search, environment)
        name = _name_of(field)
        left_out += [f"{other} {search.bare}" for other in others]
        if name in fields:
            left_out.append(f"{field} {search.bare}")
        fields.setdefault(name, search.bare)
        if name != "run_ids":
            left_out.append(f"what only begins with {search.bare}")
    if search.automation:
        fields["automation"] = search.automation
    return Carried(fields=fields | _moments(search, now), left_out=left_out)


def unfinished(search: Search, *, environment: Environment, now: datetime) -> Sequence[UUID]:
    """The ids of the unfinished runs that the list finds, however it does: no more than one above MOST_RUNS."""
    statuses = [status for status in UNFINISHED if search.status in ("", status)]
    if search.fault or not statuses:
        return []
    runs, bars = search.runs(environment, now=now), list(standing(environment=environment))
    most = MOST_RUNS + 1
    found = [
        runs.in_status(status, environment=environment, most=most, bars=bars).newest_first()[:most]
        for status in statuses
    ]
    return [uid for kind in found for uid in kind.values_list("uid", flat=True)][:most]


def _name_of(field: str) -> str:
    return FIELDS.get(field, field.replace(" ", "_"))


def _fields_of_part(part: Qualified, search: Search, environment: Environment) -> Sequence[str]:
    """Where a value hits that a qualifier stands before: `key:` finds idempotency keys, too."""
    if part.field != "key" or search.fault:
        return [part.field]
    keys = Run.objects.filter(environment=environment, key=part.value)
    return _hit({"key": keys, "idempotency key": _invoked_by(part.value, environment)}, environment) or [
        "key"
    ]


def _fields_of(search: Search, environment: Environment) -> Sequence[str]:
    """Where the text hits that no qualifier stands before; a text that hits nowhere is sought as a token."""
    if search.fault:
        return ["token"]
    runs = Run.objects.filter(environment=environment)
    kinds = {name: runs.filter(**{name: search.bare}) for name in ("token", "recipient", "source", "key")}
    if search.uid is not None:
        kinds["run ids"] = runs.filter(uid=search.uid)
    hit = _hit(kinds | {"idempotency key": _invoked_by(search.bare, environment)}, environment)
    if "token" in hit and "key" in hit:  # a token is looked for among keys as well
        hit.remove("key")
    return hit or ["token"]


def _invoked_by(text: str, environment: Environment) -> RunQuerySet:
    """The runs with that idempotency key, except those that are found by the same text as their key."""
    invocations = Invocation.objects.filter(environment=environment, idempotency_key=text)
    return Run.objects.filter(invocation__in=invocations.values("pk")).exclude(key=text)


def _hit(kinds: Mapping[str, RunQuerySet], environment: Environment) -> list[str]:
    """The names of those kinds of which there are runs, in one statement."""
    capped = [CappedCount(kind.order_by().values("pk")[:1]) for kind in kinds.values()]
    found = Environment.objects.filter(pk=environment.pk).values_list(*capped).get()
    return [name for name, count in zip(kinds, found, strict=True) if count]


def _moments(search: Search, now: datetime) -> dict[str, str]:
    asked = {"created": search.starting(now=now), "due": search.waking(now=now)}
    return {
        f"{name}_{bound}": _written(moment)
        for name, bounds in asked.items()
        for bound, moment in bounds.items()
    }


def _written(moment: datetime) -> str:
    """As a field of a form holds it, in the zone of the page."""
    return timezone.localtime(moment).strftime("%Y-%m-%dT%H:%M:%S")
