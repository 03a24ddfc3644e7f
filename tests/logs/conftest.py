"""A server that the steps of the runs shown deliver to."""

from __future__ import annotations

from tests.channels.conftest import allowed, http

__all__ = ["allowed", "http"]
