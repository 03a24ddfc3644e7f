"""Holds every answer that the tests of the APIs get against the OpenAPI document that speaks of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs
from django.urls import Resolver404

from automations.api.openapi import document, path_of
from automations.api.shapes import dialect_of


@cache
def validator(dialect: str, path: str, method: str, status: str, media: str) -> Any:
    """Checks a body of that operation, status and media type."""
    said = document(dialect)["paths"][path][method]["responses"][status]["content"][media]["schema"]
    schema = {"components": document(dialect)["components"], **said}
    return jsonschema_rs.validator_for(schema, validate_formats=True)


def hold_against(method: str, path: str, response: Any) -> None:
    """Fails where the answer is not one that its document tells of; passes over what is in no document."""
    dialect = dialect_of(path.partition("?")[0])
    try:
        route = re.sub(r"^(\^?)compat/\w+/", r"\1", response.resolver_match.route)
    except Resolver404:
        return
    if dialect is None or "api/schema" in route:
        return
    template, verb = path_of(route, dialect), "get" if method == "HEAD" else method.lower()
    said = document(dialect)["paths"][template].get(verb)
    if said is None:
        assert response.status_code in (401, 405), (method, path, response.content)
        return
    _hold(dialect, template, verb, said["responses"], response)


def _hold(dialect: str, path: str, method: str, said: Mapping[str, Any], response: Any) -> None:
    told = (method, path, response.status_code, response.content[:2000])
    status = str(response.status_code)
    status = status if status in said else f"{status[0]}XX"
    assert status in said, told
    if "content" not in said[status]:
        assert response.content == b"", told
        return
    media = response["Content-Type"]
    assert media in said[status]["content"], told
    if response.content or response.status_code == 204:
        checks = validator(dialect, path, method, status, media)
        faults = [
            f"{fault.instance_path}: {fault.message[:300]}" for fault in checks.iter_errors(response.json())
        ]
        assert not faults, (*told, faults)
