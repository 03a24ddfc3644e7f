"""Signs messages as the Standard Webhooks specification 1.0 says (standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as randomness
from collections.abc import Sequence

PREFIX = "whsec_"


def new_secret() -> str:
    """A secret of 32 random bytes, as its receiver is given it."""
    return PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


def headers(*, message: str, seconds: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of an attempt at `seconds` since 1970: the message's id, the time, a signature per secret."""
    signatures = [f"v1,{_signature(f'{message}.{seconds}.'.encode() + body, secret)}" for secret in secrets]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signatures),
    }


def _signature(content: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
