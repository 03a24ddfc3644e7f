"""The servers that steps deliver to."""

from tests.channels.conftest import allowed, http, smtp

__all__ = ["allowed", "http", "smtp"]
