"""Turns what programs say of a fault into what people read."""

from __future__ import annotations


def sentence(words: str) -> str:
    """The words as a sentence; one that begins with something to type, such as `refs.`, keeps its letters."""
    is_typed = set(words.split(" ", 1)[0]) & set("._{}$/")
    return f"{words[:1] if is_typed else words[:1].upper()}{words[1:]}."
