"""The e-mail addresses and telephone numbers under which recipients are known, so that they are found by them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.db import connection, models
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from automations.models.environment import Environment
from automations.models.kept import ANY_OF, Kept, text_array
from automations.models.live_run import LiveRun
from automations.models.statements import fetch

LONGEST_ADDRESS = 320  # of an e-mail; telephone numbers are shorter
KEPT = timedelta(days=30)
LOOKED_AT_ONCE = 1_000
# Written out, since SuprSend's cancels wait for it (docs/decisions/0003-raw-statements.md).
AT = "SELECT recipient FROM automations_contact WHERE environment_id = %s AND address {any_of} LIMIT %s"


def _plain(address: str) -> str:
    return address.strip().lower()


class ContactManager(models.Manager["Contact"]):
    def learn(self, *, environment: Environment, known: Iterable[tuple[str, str]]) -> None:
        """Notes pairs of a recipient and an address of theirs; costs one statement, none without a pair.

        In the transaction of the invoke that brings them: who cancels by an address after its answer finds its runs,
        and one that is not accepted changes nobody's cancel. Comes last there, since it locks the rows of addresses.
        """
        pairs = {(recipient, _plain(address)) for recipient, address in known}
        rows = [
            Contact(environment=environment, recipient=recipient, address=address)
            for recipient, address in sorted(pairs)  # in one order, or two at once would wait for each other
            if 0 < len(address) <= LONGEST_ADDRESS
        ]
        if rows:  # what is known already is learnt anew: it is kept for 30 days from now
            self.bulk_create(
                rows, update_conflicts=True, unique_fields=["environment", "address", "recipient"],
                update_fields=["learnt_at"],
            )  # fmt: skip

    def at(self, addresses: Collection[str], *, environment: Environment, most: int) -> list[str]:
        """At most so many recipients known under one of these addresses, in alphabetical order."""
        plain = sorted({_plain(address) for address in addresses})
        text = AT.format(any_of=ANY_OF[connection.vendor])
        (rows,) = fetch([Kept(text, [environment.pk, text_array(plain), most])])
        return sorted(recipient for (recipient,) in rows)

    def forget(self, *, now: datetime, behind: int) -> int:
        """Drops, of the next thousand behind that primary key, those of recipients without an unfinished run of whom
        no trigger has told for 30 days; the last one looked at, 0 at the end."""
        looked_at = list(
            self.filter(pk__gt=behind).order_by("pk").values_list("pk", flat=True)[:LOOKED_AT_ONCE]
        )
        if not looked_at:
            return 0
        living = LiveRun.objects.filter(environment=OuterRef("environment"), recipient=OuterRef("recipient"))
        old = self.filter(pk__in=looked_at, learnt_at__lt=now - KEPT)
        old.exclude(Exists(living)).delete()
        return looked_at[-1] if len(looked_at) == LOOKED_AT_ONCE else 0


class Contact(models.Model):
    """One address of one recipient. What leads to a recipient does so for as long as it has an unfinished run, and
    for 30 days after it was learnt."""

    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    address = models.CharField(max_length=LONGEST_ADDRESS)
    recipient = models.CharField(max_length=255)
    learnt_at = models.DateTimeField(db_default=Now())

    objects = ContactManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["environment", "address", "recipient"], name="contact_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.address} of {self.recipient}"
