"""The outside as the races see it: a channel that notes every delivery, and can refuse one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from automations.channels import DeliveryError, Message


class Sink:
    """Stands where the console does. `keys` are the idempotency keys of all deliveries, in their order."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.refuses = False

    def __call__(self, message: Message, /, *, deadline: float) -> dict[str, Any]:
        self.keys.append(message.idempotency_key)
        if self.refuses:
            raise DeliveryError("not now", retryable=True)
        return {"channel": "console"}

    @property
    def counts(self) -> Counter[str]:
        """How often each idempotency key was seen."""
        return Counter(self.keys)
