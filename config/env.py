"""Reads the process environment into typed values and says, by name, which variable is wrong."""

from __future__ import annotations

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dj_database_url


class BadSetting(Exception):
    """An environment variable holds something its setting cannot be."""

    def __init__(self, name: str, value: str, wanted: str) -> None:
        super().__init__(f"{name}={value!r}: expected {wanted}")


def text(name: str, default: str = "") -> str:
    """The variable as it stands, `default` when unset or empty."""
    return os.environ.get(name) or default


def number(name: str, default: int, *, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    value = text(name, str(default))
    if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
        raise BadSetting(name, value, f"a whole number from {least} to {most}")
    return int(value)


def flag(name: str, *, default: bool = False) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off."""
    value = text(name, "on" if default else "off").lower()
    if value not in _FLAGS:
        raise BadSetting(name, value, "on or off")
    return _FLAGS[value]


def words(name: str) -> tuple[str, ...]:
    """The comma-separated words of the variable, without blanks around them."""
    return tuple(word.strip() for word in text(name).split(",") if word.strip())


def address(name: str, default: str) -> str:
    """Where a server is reached, `http(s)://host` with or without a port; without the slash at the end."""
    value = text(name, default)
    if not _ADDRESS.fullmatch(value):
        raise BadSetting(name, value, "http://host or https://host, with :port where it has one of its own")
    return value.rstrip("/")


def hosts(name: str) -> tuple[str, ...]:
    """Host names, addresses and networks, comma-separated, each with or without a port. What holds a slash must be
    a network."""
    found = words(name)
    for word in found:
        start, slash, length = word.partition("/")
        network = f"{start.strip('[')}/{length.partition(':')[0].strip(']')}"
        try:
            ip_network(network if slash else "::", strict=False)
        except ValueError:
            raise BadSetting(name, word, "a host name, an address, or a network such as 10.0.0.0/8") from None
    return found


def keys(name: str, given: str) -> tuple[str, ...]:
    """The comma-separated keys in `given`: each 32 bytes in base64 for URLs, one at least. What is wrong is said
    by its place, without the key."""
    found = tuple(word.strip() for word in given.split(",") if word.strip())
    for place, word in enumerate(found, 1):
        if not _KEY.fullmatch(word):
            raise BadSetting(name, f"(key {place})", "32 bytes in base64 for URLs, which are 44 characters")
    if not found:
        raise BadSetting(name, "(empty)", "one key at least")
    return found


def folder(name: str, default: Path) -> Path:
    """An absolute path to a folder, which need not exist yet."""
    path = Path(text(name, str(default))).expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise BadSetting(name, str(path), "a folder, and this is a file")
    return path


def database(name: str, default: str) -> dict[str, Any]:
    """Django's settings of the database at that URL. Of a bad one nothing is said but its beginning: it may hold a
    password."""
    given = text(name, default)
    scheme, found, _ = given.partition("://")
    shown = f"{scheme}://…" if found else "…"
    wanted = "postgres://user:password@host/name or sqlite:///path"
    try:
        parsed = dj_database_url.parse(given, conn_max_age=None, conn_health_checks=True)
    except ValueError:
        raise BadSetting(name, shown, wanted) from None
    if parsed["ENGINE"] not in _ENGINES:
        raise BadSetting(name, shown, wanted)
    return dict(parsed)


_ENGINES = ("django.db.backends.postgresql", "django.db.backends.sqlite3")
_ADDRESS = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/?", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_FLAGS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)
