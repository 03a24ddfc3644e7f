"""How secrets that must be read again are kept in the database: the one place to encrypt them."""

from __future__ import annotations

_PLAIN = "plain:"  # says how the rest is kept, so that what is kept otherwise can stand beside it


def seal(secret: str) -> str:
    """The secret as it is stored."""
    return _PLAIN + secret


def unseal(stored: str) -> str:
    """The secret that was stored so."""
    return stored.removeprefix(_PLAIN)
