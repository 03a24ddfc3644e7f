"""The e-mail addresses and telephone numbers under which recipients are known, so that they are found by them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db import models

from automations.models.environment import Environment

LONGEST_ADDRESS = 320  # of an e-mail; telephone numbers are shorter


def _plain(address: str) -> str:
    return address.strip().lower()


class ContactManager(models.Manager["Contact"]):
    def learn(self, *, environment: Environment, known: Iterable[tuple[str, str]]) -> None:
        """Notes pairs of a recipient and an address of theirs; costs one statement, none without a pair.

        Before the invoke that brings them is accepted: who cancels by an address after that finds its runs.
        """
        pairs = {(recipient, _plain(address)) for recipient, address in known}
        rows = [
            Contact(environment=environment, recipient=recipient, address=address)
            for recipient, address in sorted(pairs)  # in one order, or two at once would wait for each other
            if 0 < len(address) <= LONGEST_ADDRESS
        ]
        if rows:
            self.bulk_create(rows, ignore_conflicts=True)

    def at(self, addresses: Collection[str], *, environment: Environment, most: int) -> list[str]:
        """The first `most` recipients known under one of these addresses."""
        plain = {_plain(address) for address in addresses}
        known = self.filter(environment=environment, address__in=plain).order_by("pk")
        return list(known.values_list("recipient", flat=True)[:most])


class Contact(models.Model):
    """One address of one recipient. What once led to a recipient goes on doing so."""

    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    address = models.CharField(max_length=LONGEST_ADDRESS)
    recipient = models.CharField(max_length=255)

    objects = ContactManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["environment", "address", "recipient"], name="contact_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.address} of {self.recipient}"
