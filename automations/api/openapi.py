"""Writes the OpenAPI documents: of every dialect what its endpoints declare, by the routes that lead to them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from django.urls import URLPattern
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from rest_framework.views import APIView

from automations.api import courier, knock, suprsend
from automations.api.courier.components import COMPONENTS as COURIERS
from automations.api.description import Description, description_of
from automations.api.knock.components import COMPONENTS as KNOCKS
from automations.api.native.components import COMPONENTS as OURS
from automations.api.reading import UUID_PATTERN
from automations.api.schemas import TEXT, UID, Schema, ref, text
from automations.api.shapes import COURIER, KNOCK, NATIVE, SUPRSEND, dialect_of
from automations.api.suprsend.components import COMPONENTS as SUPRSENDS
from automations.api.urls import last, urlpatterns
from automations.models import WORKSPACE

BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key. The roles of an operation are its scopes.",
}
BASIC = {
    "type": "http",
    "scheme": "basic",
    "description": "The API key as password or username, as old SDKs send it.",
}
SIGNED = {
    "type": "apiKey",
    "in": "header",
    "name": "Authorization",
    "description": "`<workspace key>:<signature>`, as SuprSend's SDKs sign a request.",
}
ABOUT = """Automations that can be called off: when a cancel is acknowledged, no further step of those runs starts.

A null in a request counts as absent, a member that is not known is refused. Moments are UTC, ids are UUIDs in the order
of time. Lists are newest first, in pages. A key belongs to one environment and sees nothing else."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What is said once for all of a dialect's operations."""

    title: str
    about: str
    components: Mapping[str, Schema]
    schemes: Mapping[str, Mapping[str, str]]
    problem_type: str = "application/json"
    invalid: int = 400  # the status of a body that is JSON, but not what is asked for


DIALECTS = {
    NATIVE: Dialect(
        title="Countermand", about=ABOUT, components=OURS, schemes={"Key": BEARER},
        problem_type="application/problem+json", invalid=422,
    ),
    COURIER: Dialect(
        title="Countermand, as Courier's SDKs speak to it", about=courier.__doc__ or "", components=COURIERS,
        schemes={"Key": BEARER, "Basic": BASIC},
    ),
    KNOCK: Dialect(
        title="Countermand, as Knock's SDKs speak to it", about=knock.__doc__ or "", components=KNOCKS,
        schemes={"Key": BEARER}, invalid=422,
    ),
    SUPRSEND: Dialect(
        title="Countermand, as SuprSend's SDKs speak to it", about=suprsend.__doc__ or "", components=SUPRSENDS,
        schemes={"Key": BEARER, "Signature": SIGNED},
    ),
}  # fmt: skip
HEADERS: dict[str, Any] = {
    "RequestId": {"description": "The request's X-Request-ID, or one made here.", "schema": TEXT},
    "RetryAfter": {"description": "Seconds to wait before the next try.", "schema": TEXT},
    "Replayed": {
        "description": "This is the answer that the Idempotency-Key got before.",
        "schema": {"const": "true"},
    },
}
KNOWN_PARAMETERS: Mapping[str, Schema] = {UUID_PATTERN: UID, r"\d{1,9}": text(9, pattern="[0-9]{1,9}")}
_NAMES = {"uid": "id"}


def document(dialect: str) -> Mapping[str, Any]:
    """The dialect's OpenAPI 3.1 document. Made once for each process, by one thread: drf-spectacular loads its
    extensions on first use, and threads that do so at the same time find them half loaded."""
    with _making:
        return _made(dialect)


@cache
def _made(dialect: str) -> Mapping[str, Any]:
    made: Mapping[str, Any] = Generator(dialect).get_schema(public=True)
    return made


_making = threading.Lock()


class Routes(EndpointEnumerator):
    """Reads our routes."""

    def get_path_from_regex(self, path_regex: str) -> str:
        """The path with its parameters in braces."""
        return _path(path_regex)[0]


class Generator(SchemaGenerator):
    """Takes what endpoints are from `described`, and nothing from serializers, of which there are none."""

    endpoint_inspector_cls = Routes

    def __init__(self, dialect: str) -> None:
        routes = [route for route in (*urlpatterns, *last) if _dialect_of(route) == dialect]
        super().__init__(patterns=routes)
        self.dialect = dialect
        self.names: set[str] = set()

    def create_view(self, callback: Any, method: str, request: Any = None) -> APIView:
        """The view, which is described by what it declares."""
        view: APIView = super().create_view(callback, method, request)
        self._set_schema_to_view(view, Declared(self.dialect, self.names))
        return view

    def coerce_path(self, path: str, method: str, view: APIView) -> str:
        """As the vendor writes it."""
        return _as_written(path, self.dialect)

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        """The paths, and around them what all operations of the dialect share."""
        made = super().get_schema(request=request, public=public)
        dialect = DIALECTS[self.dialect]
        made["info"] = {
            "title": dialect.title, "version": "1", "description": dialect.about,
            "license": {"name": "MIT", "identifier": "MIT"},
        }  # fmt: skip
        prefixes = ["/"] if self.dialect == NATIVE else ["/", f"/compat/{self.dialect}"]
        made["servers"] = [{"url": prefix} for prefix in prefixes]
        made["components"] = {
            "schemas": dict(dialect.components), "headers": HEADERS, "securitySchemes": dict(dialect.schemes),
        }  # fmt: skip
        return made


class Declared(AutoSchema):
    """One operation, as its method declares it."""

    def __init__(self, dialect: str, names: set[str]) -> None:
        super().__init__()
        self.dialect, self.names = dialect, names

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any
    ) -> dict[str, Any] | None:
        """The Operation Object."""
        handler = getattr(self.view, method.lower())
        declared = description_of(handler)
        scope = getattr(self.view, f"{method.lower()}_scope", None)
        first = re.sub(r"^(?:/api)?/v1", "", path).split("/")[1].strip("{}")
        told = " ".join(str(handler.__doc__).split())
        operation: dict[str, Any] = {
            "operationId": self._named(declared.name, first),
            "summary": re.split(r"(?<=[.;:])\s", told)[0].rstrip(".;:"),
            "description": told if scope is None else f"{told}\n\nScope: `{scope}`.",
            "tags": [first],
            "parameters": _parameters(declared, _path(path_regex)[1], self.dialect),
            "responses": _responses(declared, DIALECTS[self.dialect], has_key=scope is not None, path=path),
        }
        if declared.body is not None:
            content = {"application/json": {"schema": declared.body}}
            operation["requestBody"] = {"content": content, "required": not declared.is_body_optional}
        if scope is not None:
            operation["security"] = [{name: [scope]} for name in DIALECTS[self.dialect].schemes]
        return operation

    def _named(self, name: str, first: str) -> str:
        """A method that has two addresses is named after the second one's beginning there."""
        unique = f"{name}_of_{first}" if name in self.names else name
        self.names.add(unique)
        return unique


def _dialect_of(route: URLPattern) -> str | None:
    """Whose document tells of it: of a vendor's addresses those at the root, which the document says, too."""
    address = str(route.pattern).removeprefix("^")
    return None if address.startswith(("compat/", "api/schema", "metrics")) else dialect_of(f"/{address}")


def path_of(route: str, dialect: str) -> str:
    """What the dialect's document calls a route."""
    return _as_written(_path(route)[0], dialect)


def _as_written(path: str, dialect: str) -> str:
    return f"{path}/" if dialect == SUPRSEND else path


def _path(route: str) -> tuple[str, Mapping[str, Schema]]:
    """A route's path, and what its parameters look like."""
    rest = re.sub(r"/(?:\?\\Z)?$", "", route.removeprefix("^"))
    parameters: dict[str, Schema] = {}
    rest = rest.replace("<workspace:workspace>", f"(?P<workspace>{WORKSPACE.pattern})")
    while (start := rest.find("(?P<")) >= 0:
        end = next(_ends(rest, start))
        name, _, pattern = rest[start + 4 : end].partition(">")
        name = _NAMES.get(name, name)
        plain = text(255) if pattern.startswith((".", "[^")) else text(255, pattern=pattern)
        parameters[name] = KNOWN_PARAMETERS.get(pattern, plain)
        rest = f"{rest[:start]}{{{name}}}{rest[end + 1 :]}"
    return "/" + rest.removeprefix("/"), parameters


def _ends(route: str, start: int) -> Iterator[int]:
    """Where the parenthesis that opens at `start` closes."""
    depth = 0
    for index, character in enumerate(route[start:], start):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            yield index


def _parameters(declared: Description, path: Mapping[str, Schema], dialect: str) -> list[dict[str, Any]]:
    given = [
        {"in": "path", "name": name, "required": True, "schema": schema} for name, schema in path.items()
    ]
    given += [{"in": "query", "name": name, "schema": schema} for name, schema in declared.query.items()]
    if declared.is_repeatable:
        key = {
            "description": "The same request again with this key has one effect.",
            **text(255, pattern="[ -~]+"),
        }
        given.append({"in": "header", "name": "Idempotency-Key", "schema": key})
    if declared.is_repeatable and dialect == COURIER:
        kept = {
            **text(100),
            "description": "Epoch seconds, ISO 8601 or a duration: how long the key is in force.",
        }
        given.append({"in": "header", "name": "x-idempotency-expiration", "schema": kept})
    return given


def _responses(declared: Description, dialect: Dialect, *, has_key: bool, path: str) -> dict[str, Any]:
    """The answers, and the refusals that follow from the key, the address and the body."""
    refusals = {400, *declared.refuses}
    if has_key:
        refusals |= {401, 403, 429}
    if "{" in path:
        refusals.add(404)
    if declared.body is not None:
        refusals |= {413, 415, dialect.invalid}
    if declared.is_repeatable:
        refusals.add(422)
    problem = {dialect.problem_type: {"schema": ref("Problem")}}
    responses = {str(status): _response(status, problem) for status in sorted(refusals)}
    responses["5XX"] = {**_response(503, problem), "description": "Our fault, or too much at once"}
    for status, schema in declared.answers.items():
        response = _response(status, None if schema is None else {"application/json": {"schema": schema}})
        if declared.is_repeatable:
            response["headers"]["Idempotent-Replayed"] = {"$ref": "#/components/headers/Replayed"}
        responses[str(status)] = response
    return dict(sorted(responses.items()))


def _response(status: int, content: Mapping[str, Any] | None) -> dict[str, Any]:
    headers = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
    if status in (429, 503):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": headers}
    return response if content is None else {**response, "content": dict(content)}
