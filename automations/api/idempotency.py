"""Reads the headers that make repeating a request harmless."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from rest_framework.request import Request

from automations.models import Refusal

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def key_of(request: Request) -> str | None:
    """The Idempotency-Key; None without one. Refusal unless it is 1 to 255 printable ASCII characters."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not _KEY.fullmatch(key):
        message = "an Idempotency-Key has 1 to 255 printable ASCII characters"
        raise Refusal.at("", "invalid_idempotency_key", message)
    return key


def fingerprint(*, address: str, body: Any) -> str:
    """What tells requests apart: their address and decoded body, not its spacing or its members' order."""
    canonical = json.dumps([address, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
