"""Lists of recipients are kept, changed and removed here."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.db import IntegrityError, transaction

from automations.models import (
    MOST_MEMBERS,
    Environment,
    No,
    RecipientList,
    Refusal,
    audit,
    database_now,
    retried,
)

MOST_TOLD = 20  # members that an entry of the audit log names


def find(*, environment: Environment, key: str) -> RecipientList:
    """The list. Refusal when there is none."""
    row = RecipientList.objects.filter(environment=environment, key=key).first()
    if row is None:
        raise _unknown(key)
    return row


def create(
    *, environment: Environment, key: str, members: Iterable[str], name: str, by: str
) -> RecipientList:
    """A new list. Refusal for a key that is taken, and for too many members."""
    now, kept = database_now(), _checked(members, at="/members")
    try:
        with transaction.atomic():
            row = RecipientList.objects.create(
                environment=environment, key=key, members=kept, name=name, created_at=now, updated_at=now
            )
            _note("made", row, by=by, after={"name": name, "members": len(kept)})
            return row
    except IntegrityError as error:
        raise Refusal.at("/key", "taken", f"there is a list “{key}” already") from error


@retried
def replace(
    *, environment: Environment, key: str, members: Iterable[str], name: str, by: str
) -> tuple[RecipientList, bool]:
    """The list with these members and no others, and whether it is new. Refusal for too many."""
    now, kept = database_now(), _checked(members, at="/members")
    with transaction.atomic():
        row, is_new = RecipientList.objects.select_for_update().get_or_create(
            environment=environment, key=key,
            defaults={"members": kept, "name": name, "created_at": now, "updated_at": now},
        )  # fmt: skip
        if is_new:
            _note("made", row, by=by, after={"name": name, "members": len(kept)})
            return row, True
        return _changed(row, members=kept, name=name, by=by), False


@retried
def change(
    *,
    environment: Environment,
    key: str,
    add: Iterable[str] = (),
    drop: Iterable[str] = (),
    name: str | None = None,
    by: str,
) -> RecipientList:
    """The list with these members added and those taken out. Refusal when there is none, and for too many."""
    gone = set(drop)
    with transaction.atomic():
        if (row := _locked(environment, key)) is None:
            raise _unknown(key)
        kept = _checked([*(each for each in row.members if each not in gone), *add], at="/add")
        return _changed(row, members=kept, name=row.name if name is None else name, by=by)


@retried
def remove(*, environment: Environment, key: str, by: str) -> None:
    """Forgets the list, not its members. Refusal when there is none."""
    with transaction.atomic():
        if (row := _locked(environment, key)) is None:
            raise _unknown(key)
        _note("removed", row, by=by, before={"name": row.name, "members": len(row.members)})
        row.delete()


def _locked(environment: Environment, key: str) -> RecipientList | None:
    """The list, locked until the transaction ends."""
    return RecipientList.objects.select_for_update().filter(environment=environment, key=key).first()


def _changed(row: RecipientList, *, members: list[str], name: str, by: str) -> RecipientList:
    """The locked list, saved as it is to be from now on."""
    was, now = set(row.members), set(members)
    before = {"name": row.name, "members": len(was)}
    after = {
        "name": name,
        "members": len(now),
        "added": _some(each for each in members if each not in was),
        "removed": _some(each for each in row.members if each not in now),
    }
    row.members, row.name, row.updated_at = members, name, database_now()
    row.save()
    _note("changed", row, by=by, before=before, after=after)
    return row


def _some(members: Iterable[str]) -> list[str] | None:
    """The first of them, for the audit log; None where there are none."""
    return list(islice(members, MOST_TOLD)) or None


def _note(what: str, row: RecipientList, *, by: str, **said: Any) -> None:
    audit(f"list.{what}", of=f"list/{row.key}", by=by, environment_id=row.environment_id, **said)


def _checked(members: Iterable[str], *, at: str) -> list[str]:
    """In their order, each once."""
    kept = list(dict.fromkeys(members))
    if len(kept) > MOST_MEMBERS:
        raise Refusal.at(at, "too_many", f"a list has at most {MOST_MEMBERS:,} members")
    return kept


def _unknown(key: str) -> Refusal:
    return Refusal(No.NOT_FOUND, "list_not_found", f"there is no list “{key[:100]}”")
