"""Says by what little two tokens differ: a prefix or suffix, case, white space or the form of their letters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations, islice

SHORTEST = 3  # characters of a part that is worth calling near: "1" ends half of all tokens
MOST_VARIANTS = 60
SEPARATORS = "-_:./|# "
_SPACE = re.compile(r"\s+")
_PIECE = re.compile(rf"[{re.escape(SEPARATORS)}]")


def difference(own: str, asked: str) -> tuple[str, ...]:
    """The ways in which they differ, such as ("prefix", "case"); empty when they are equal or have nothing to
    do with each other."""
    if own == asked:
        return ()
    folded = [(ways, _fold(own, ways), _fold(asked, ways)) for ways in _WAYS]
    for ways, one, other in folded:
        if one == other:
            return ways
    for ways, one, other in folded:
        if part := _part(one, other):
            return (part, *ways)
    return ()


def essence(text: str) -> str:
    """The text without white space, case and form: what most near tokens have in common. Cheap, and kept by
    whoever compares one with many."""
    return _fold(text, _SAME)


def may_be_near(one: str, other: str) -> bool:
    """Whether two essences leave it open that there is a `difference`, or that the texts are equal."""
    short, long = sorted((one, other), key=len)
    return long.endswith(short) or long.startswith(short)


def variants(token: str, *, prefixes: Iterable[str] = ()) -> list[str]:
    """What somebody may have meant by the token, each in itself; the token first. `prefixes` are those that other
    tokens begin with."""
    return list(islice(dict.fromkeys(_variants(token, prefixes)), MOST_VARIANTS))


def prefixes_of(tokens: Iterable[str], *, most: int = 20) -> list[str]:
    """What the tokens begin with, up to and with their first separators."""
    found = (token[: match.end()] for token in tokens for match in islice(_PIECE.finditer(token), 2))
    return list(islice(dict.fromkeys(found), most))


def _variants(token: str, prefixes: Iterable[str]) -> Iterator[str]:
    squeezed = _SPACE.sub("", token)
    spaced = (token, token.strip(), _SPACE.sub(" ", token.strip()), squeezed)
    for text in spaced:
        yield from (text, text.lower(), text.upper(), text.title(), text.capitalize())
    yield from (f"{token.strip()} ", f" {token.strip()}")
    yield from (unicodedata.normalize(form, token) for form in ("NFC", "NFD"))
    bare = token.strip()
    for cut in islice(_PIECE.finditer(bare), 5):
        yield from (part for part in (bare[cut.end() :], bare[: cut.start()]) if len(part) >= SHORTEST)
    yield from (prefix + bare for prefix in prefixes)


def _part(own: str, asked: str) -> str:
    """Whether one is the other with something before or behind it."""
    short, long = sorted((own, asked), key=len)
    if len(short) < SHORTEST or short == long:
        return ""
    if long.endswith(short) and _parted(long[-len(short) - 1], short[0]):
        return "prefix"
    if long.startswith(short) and _parted(short[-1], long[len(short)]):
        return "suffix"
    return ""


def _parted(left: str, right: str) -> bool:
    """Whether a word may end between these two characters."""
    return not (left.isalnum() and right.isalnum())


_SAME: dict[str, Callable[[str], str]] = {
    "whitespace": lambda text: _SPACE.sub("", text),
    "case": str.casefold,
    "form": lambda text: unicodedata.normalize("NFKC", text),
}
# The fewest first: what is named is all that it takes.
_WAYS = [ways for count in range(len(_SAME) + 1) for ways in combinations(_SAME, count)]


def _fold(text: str, ways: Iterable[str]) -> str:
    for way in ways:
        text = _SAME[way](text)
    return text
