"""The documentation inside: docs/*.md as pages, with links that lead to one another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mistune
from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from automations.middleware import PageRequest

TITLES = {
    "steps": "Steps",
    "expressions": "Expressions",
    "sending": "Sending",
    "api": "The API",
    "webhooks": "Webhooks",
    "migrating": "Coming from another vendor",
    "reliability": "Reliability",
    "deploying": "Deploying",
    "settings": "Settings",
    "glossary": "Words",
}
ABOUT = {
    "steps": "What an automation is made of, action by action.",
    "expressions": "Tokens, fields and conditions that are filled in with data.",
    "sending": "What is said, to whom, and how it gets there.",
    "api": "Invoke, cancel, look up: the native API in one page.",
    "webhooks": "Being told when runs end.",
    "migrating": "Courier, Knock and SuprSend: what to change, what stays.",
    "reliability": "The promise, and how it is proved.",
    "deploying": "Kept running for others: proxies, backups, upgrades.",
    "settings": "Every variable of the environment, and what it is when unset.",
    "glossary": "What the words mean.",
}


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document as HTML; `parts` are the names and anchors of its sections."""

    title: str
    html: SafeString
    parts: tuple[tuple[str, str], ...]


class Pages(mistune.HTMLRenderer):
    """HTML of ours only: what is HTML in the source shows as text."""

    def __init__(self) -> None:
        super().__init__(escape=True)
        self.title, self.parts = "", list[tuple[str, str]]()

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        """The first becomes the page's title; the others can be linked to."""
        if level == 1:
            self.title = mistune.util.striptags(text)
            return ""
        anchor = slugify(mistune.util.striptags(text))
        if level == 2:
            self.parts.append((mistune.util.striptags(text), anchor))
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """To a page here, to a section, to the outside; a file that has no page is only named."""
        path, _, anchor = url.partition("#")
        name = path.removesuffix(".md").removeprefix("docs/")
        if path.endswith(".md") and name in TITLES:
            address = reverse("docs:one", args=[name]) + (f"#{anchor}" if anchor else "")
            return f'<a href="{escape(address)}">{text}</a>'
        if url.startswith(("https://", "#")):
            return f'<a href="{escape(url)}">{text}</a>'
        return text

    def block_code(self, code: str, info: str | None = None) -> str:
        """Can be scrolled by keyboard."""
        return f'<pre tabindex="0"><code>{mistune.escape(code)}</code></pre>\n'


@require_safe
def index(request: PageRequest) -> HttpResponse:
    """What there is to read."""
    lines = [(slug, title, ABOUT[slug]) for slug, title in TITLES.items()]
    return render(request, "automations/documents.html", {"lines": lines})


@require_safe
def document(request: PageRequest, slug: str) -> HttpResponse:
    """One document, with this server's address in its samples."""
    if slug not in TITLES:
        raise Http404("there is no such document")
    host = format_html("{}", request.build_absolute_uri("/").rstrip("/"))
    read = read_document(slug)
    html = mark_safe(read.html.replace("$HOST", host))  # noqa: S308  (it is escaped)
    context = {"document": read, "html": html, "titles": TITLES.items(), "slug": slug}
    return render(request, "automations/document.html", context)


@cache
def read_document(slug: str) -> Document:
    """The document of that name, from its file; it does not change while the program runs."""
    renderer = Pages()
    markdown = mistune.create_markdown(renderer=renderer, plugins=["table"])
    source = (Path(settings.BASE_DIR) / "docs" / f"{slug}.md").read_text(encoding="utf-8")
    html = str(markdown(source))
    return Document(title=renderer.title, html=mark_safe(html), parts=tuple(renderer.parts))  # noqa: S308  (escaped)
