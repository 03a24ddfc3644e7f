"""What every channel is given and what it may raise."""

from __future__ import annotations

import codecs
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

_VISIBLE = string.ascii_letters + string.digits + string.punctuation


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message to one recipient, every string of it already interpolated."""

    run: str  # the run's uid
    step: str  # the step's id, else its position
    recipient: str | None
    title: str
    body: str
    to: Mapping[str, Any] | None  # {"email": "..."}, {"webhook": {"url", "headers"?}} or {"apprise": ...}
    template: str | None = None  # the key of the template that said so
    member: str | None = None  # which member of a list this is for
    secrets: Sequence[str] = field(default=(), repr=False)  # what signs a webhook; an Apprise service's URL
    at: datetime | None = None  # when it is sent (UTC), which a signature tells

    @property
    def idempotency_key(self) -> str:
        """`{run}:{step}`, for a list's member `{run}:{step}:{member}`; the same on every attempt, as visible ASCII
        that fits a header."""
        whole = f"{self.run}:{self.step}" if self.member is None else f"{self.run}:{self.step}:{self.member}"
        return quote(whole, safe=_VISIBLE)


class DeliveryError(Exception):
    """A message was not delivered, or nobody can tell whether it was.

    `message` may be shown to people, `retryable` says whether another attempt could fare better, `detail`
    is JSON-safe (a `status`, the first bytes of an `answer`).
    """

    def __init__(self, message: str, *, retryable: bool, detail: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.detail = detail or {}


class Channel(Protocol):
    """A way to deliver: returns what the run records (JSON-safe), raises DeliveryError."""

    def __call__(self, message: Message, /, *, deadline: float) -> dict[str, Any]: ...


def excerpt(*, raw: bytes, limit: int = 1024) -> str:
    """The first `limit` bytes a stranger answered, as text every database takes (PostgreSQL refuses NUL)."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    return decode(raw[:limit], final=len(raw) <= limit).replace("\0", "\ufffd")
