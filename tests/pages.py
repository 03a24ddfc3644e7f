"""Reads an answer's HTML as a tree, so that a test can say what stands where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"br", "hr", "img", "input", "link", "meta"}


@dataclass
class Element:
    """An element with its attributes; `text` is what a person reads, blanks folded."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", self._text()).strip()

    def _text(self) -> str:
        parts = [child if isinstance(child, str) else child._text() for child in self.children]
        return "".join(f" {part}" if not isinstance(child, str) and child.tag in BLOCKS else part
                       for part, child in zip(parts, self.children, strict=True))  # fmt: skip

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def has(self, name: str) -> bool:
        return name in self.attributes

    def all(self, selector: str) -> list[Element]:
        """Those below that match `tag`, `#id`, `.class` or `[attribute]`."""
        return [element for element in self._below() if element._matches(selector)]

    def one(self, selector: str) -> Element:
        """The only one that matches."""
        (found,) = self.all(selector)
        return found

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    def _below(self) -> Iterator[Element]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child._below()

    def _matches(self, selector: str) -> bool:
        if selector.startswith("#"):
            return self.attributes.get("id") == selector[1:]
        if selector.startswith("."):
            return selector[1:] in self.attributes.get("class", "").split()
        if selector.startswith("["):
            return selector[1:-1] in self.attributes
        return self.tag == selector


BLOCKS = {
    "p",
    "li",
    "td",
    "th",
    "tr",
    "small",
    "div",
    "dt",
    "dd",
    "h1",
    "h2",
    "ul",
    "ol",
    "section",
    "pre",
    "option",
}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(response: Any) -> Element:
    """The answer's tree; AssertionError where an element is not closed, or closed by another's tag."""
    reader = _Reader()
    reader.feed(response.content.decode())
    assert [element.tag for element in reader.open] == [""]
    return reader.open[0]
