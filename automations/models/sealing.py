"""How secrets that must be read again are kept in the database: encrypted by the first of FIELD_KEYS."""

from __future__ import annotations

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from automations.models.refusal import No, Refusal

# Says how the rest is kept, so that what is kept otherwise can stand beside it.
_FERNET = "fernet:"
_PLAIN = "plain:"  # how it was kept before there were keys


class Unsealable(Refusal):
    """A stored secret cannot be read by any of the FIELD_KEYS that this process was started with."""

    def __init__(self) -> None:
        message = "a stored secret was encrypted with a key that is not among FIELD_KEYS"
        super().__init__(No.UNAVAILABLE, "secret_unreadable", message)


def seal(secret: str) -> str:
    """The secret as it is stored."""
    return _FERNET + _first().encrypt(secret.encode()).decode("ascii")


def unseal(stored: str) -> str:
    """The secret that was stored so, by whichever of the keys. Unsealable."""
    if stored.startswith(_PLAIN):
        return stored.removeprefix(_PLAIN)
    if not stored.startswith(_FERNET):
        raise Unsealable
    return _decrypted(stored.removeprefix(_FERNET), tuple(settings.FIELD_KEYS))


def resealed(stored: str) -> str:
    """The same secret as `seal` would store it now; `stored` itself where the first key sealed it. Unsealable."""
    if stored.startswith(_FERNET):
        try:
            _first().decrypt(stored.removeprefix(_FERNET).encode())
            return stored
        except InvalidToken:
            pass
    return seal(unseal(stored))


def _first() -> MultiFernet:
    return _all(tuple(settings.FIELD_KEYS)[:1])


@lru_cache(maxsize=256)
def _decrypted(sealed: str, keys: tuple[str, ...]) -> str:
    """Kept, since each signed request and each delivery asks for the same few. Unsealable."""
    try:
        return _all(keys).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unsealable from error


@lru_cache
def _all(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
