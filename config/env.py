"""Reads the process environment into typed values and says, by name, which variable is wrong."""

from __future__ import annotations

import os
from pathlib import Path


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


def folder(name: str, default: Path) -> Path:
    """An absolute path to a folder, which need not exist yet."""
    return Path(text(name, str(default))).expanduser().resolve()


_FLAGS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)
