"""The OpenAPI documents tell of every address there is, and of none that there is not; anybody may read them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from automations.api.docs import Document
from automations.api.endpoint import Endpoint
from automations.api.metrics import Metrics
from automations.api.openapi import DIALECTS, document, path_of
from automations.api.shapes import dialect_of
from tests.api.documents import hold_against

FETCHED = {"native": "/api/schema", **{name: f"/api/schema/{name}" for name in DIALECTS if name != "native"}}
METHODS = {"get", "post", "put", "patch", "delete"}


def endpoints(resolver: URLResolver) -> Iterator[tuple[str, type[Endpoint]]]:
    """Every route of the product that leads to an endpoint of an API."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from endpoints(entry)
        elif isinstance(entry, URLPattern):
            view = getattr(entry.callback, "view_class", None)
            if view is not None and issubclass(view, Endpoint):
                yield str(entry.pattern), view


def routes() -> dict[tuple[str, str], type[Endpoint]]:
    """By dialect and documented path, which one with the prefix `/compat/<vendor>` shares with the one without."""
    found = {}
    for route, view in endpoints(get_resolver()):
        dialect = dialect_of("/" + route.removeprefix("^"))
        assert dialect is not None, route
        found[dialect, path_of(re.sub(r"^(\^?)compat/\w+/", r"\1", route), dialect)] = view
    return found


def test_the_documents_tell_of_every_method_of_every_address_and_of_no_other() -> None:
    there = {
        (dialect, path, method)
        for (dialect, path), view in routes().items()
        for method in METHODS & set(view.http_method_names)
        if hasattr(view, method)
        and view not in (Document, Metrics)  # which answer documents, and no JSON of ours
    }
    told = {
        (dialect, path, method)
        for dialect in DIALECTS
        for path, methods in document(dialect)["paths"].items()
        for method in methods
    }
    assert there - told == set()
    assert told - there == set()
    assert len(told) > 80


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_document_is_sound(dialect: str) -> None:
    written = json.loads(json.dumps(document(dialect)))
    assert written["openapi"] == "3.1.0"
    operations = [said for methods in written["paths"].values() for said in methods.values()]
    names = [said["operationId"] for said in operations]
    assert len(names) == len(set(names))
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(written)))
    assert referred == set(written["components"]["schemas"])
    for name, schema in written["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema), name


@pytest.mark.django_db
@pytest.mark.parametrize(("dialect", "address"), FETCHED.items())
def test_anybody_may_fetch_a_document(dialect: str, address: str) -> None:
    answer = Client().get(address)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == document(dialect)
    assert Client().get(f"{address}/").json() == answer.json()


def test_there_is_no_document_of_a_dialect_that_there_is_not() -> None:
    assert Client().get("/api/schema/novu").status_code == 404


@pytest.mark.parametrize(
    "lie",
    [
        {"content": b'{"status": "ok", "more": 1}'},
        {"content": b"{}"},
        {"status": 201},
        {"media": "text/html"},
    ],
)
def test_an_answer_of_which_no_document_tells_is_found(lie: dict[str, Any]) -> None:
    answer = Client().get("/healthz")
    hold_against("GET", "/healthz", answer)
    with pytest.raises(AssertionError):
        hold_against("GET", "/healthz", Told(**{"content": answer.content, **lie}))


class Told:
    """An answer to `/healthz` as the client of the tests would hand it over."""

    def __init__(self, *, content: bytes, status: int = 200, media: str = "application/json") -> None:
        self.content, self.status_code, self.media = content, status, media
        self.resolver_match = resolve("/healthz")

    def __getitem__(self, name: str) -> str:
        return self.media

    def json(self) -> Any:
        return json.loads(self.content)


def test_the_first_who_ask_for_a_document_may_do_so_at_the_same_time() -> None:
    """In a process of its own, since in this one it has been made. Without turns it fails every other time."""
    text = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import django
django.setup()
from automations.api.openapi import document
together = Barrier(8)
def ask(number):
    together.wait()
    return document("native")["info"]["title"]
with ThreadPoolExecutor(8) as threads:
    print(*threads.map(ask, range(8)))
"""
    asked = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, cwd=settings.BASE_DIR
    )
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.split() == ["Countermand"] * 8
