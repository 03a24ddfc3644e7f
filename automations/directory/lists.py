"""Lists of recipients are kept, changed and removed here."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from automations.models import (
    MOST_MEMBERS,
    Environment,
    No,
    RecipientList,
    Refusal,
    database_now,
    retried,
)


def find(*, environment: Environment, key: str) -> RecipientList:
    """The list. Refusal when there is none."""
    row = RecipientList.objects.filter(environment=environment, key=key).first()
    if row is None:
        raise _unknown(key)
    return row


@retried
def replace(
    *, environment: Environment, key: str, members: Iterable[str], name: str
) -> tuple[RecipientList, bool]:
    """The list with these members and no others, and whether it is new. Refusal for too many."""
    now, kept = database_now(), _checked(members, at="/members")
    with transaction.atomic():
        return RecipientList.objects.update_or_create(
            environment=environment, key=key, defaults={"members": kept, "name": name, "updated_at": now},
            create_defaults={"members": kept, "name": name, "created_at": now, "updated_at": now},
        )  # fmt: skip


@retried
def change(
    *, environment: Environment, key: str, add: Iterable[str], drop: Iterable[str], name: str | None
) -> RecipientList:
    """The list with these members added and those taken out. Refusal when there is none, and for too many."""
    gone = set(drop)
    with transaction.atomic():
        mine = RecipientList.objects.select_for_update().filter(environment=environment, key=key)
        if (row := mine.first()) is None:
            raise _unknown(key)
        row.members = _checked([*(each for each in row.members if each not in gone), *add], at="/add")
        row.name, row.updated_at = row.name if name is None else name, database_now()
        row.save()
        return row


def remove(*, environment: Environment, key: str) -> None:
    """Forgets the list. Refusal when there is none."""
    gone, _ = RecipientList.objects.filter(environment=environment, key=key).delete()
    if not gone:
        raise _unknown(key)


def _checked(members: Iterable[str], *, at: str) -> list[str]:
    """In their order, each once."""
    kept = list(dict.fromkeys(members))
    if len(kept) > MOST_MEMBERS:
        raise Refusal.at(at, "too_many", f"a list has at most {MOST_MEMBERS:,} members")
    return kept


def _unknown(key: str) -> Refusal:
    return Refusal(No.NOT_FOUND, "list_not_found", f"there is no list “{key[:100]}”")
