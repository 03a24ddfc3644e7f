"""The servers that steps deliver to."""

from __future__ import annotations

from tests.channels.conftest import allowed, http, smtp

__all__ = ["allowed", "http", "smtp"]
