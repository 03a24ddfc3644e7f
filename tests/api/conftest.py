"""A caller of the APIs: a key, and requests made with it through the whole stack of middleware."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from automations.api.native import invocations
from automations.api.shapes import dialect_of
from automations.models import ApiKey, Environment, definitions
from automations.notices import endpoints
from tests.api.documents import hold_against
from tests.scenes import production


class Caller:
    """Sends JSON with a key and hands back Django's response."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.client = Client(raise_request_exception=False)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> HttpResponse:
        """The bytes as they are; headers as keywords, such as Idempotency_Key. The answer is one that is documented."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {self.text}", **given}
        response: Any = self.client.generic(method, path, body, content_type="application/json", headers=sent)
        hold_against(method, path, response)
        return response  # type: ignore[no-any-return]

    def get(self, path: str) -> Any:
        """The decoded answer of a GET that succeeds."""
        response = self.send("GET", path)
        assert response.status_code == 200, response.content
        return json.loads(response.content)

    def post(self, path: str, body: object, **headers: str) -> HttpResponse:
        return self.send("POST", path, json.dumps(body).encode(), **headers)

    def patch(self, path: str, body: object) -> HttpResponse:
        return self.send("PATCH", path, json.dumps(body).encode())

    def put(self, path: str, body: object) -> HttpResponse:
        return self.send("PUT", path, json.dumps(body).encode())


def decoded(response: HttpResponse, status: int = 200) -> Any:
    """The answer's JSON, the status being this one."""
    assert response.status_code == status, response.content
    return json.loads(response.content)


def refused(response: Any) -> tuple[int, str, list[tuple[str, str]]]:
    """A native refusal: status, code, and the pointer and code of each of its errors."""
    assert response["Content-Type"] == "application/problem+json", response.content
    document = json.loads(response.content)
    assert set(document) == {"type", "title", "status", "detail", "instance", "errors"}
    assert document["status"] == response.status_code
    assert document["instance"] == response["X-Request-ID"]
    code = document["type"].removeprefix("urn:countermand:problem:")
    return response.status_code, code, [(error["pointer"], error["code"]) for error in document["errors"]]


def courier_refused(response: Any) -> tuple[int, str, str]:
    """A refusal in Courier's shape: status, type, message."""
    assert response["Content-Type"] == "application/json", response.content
    document = json.loads(response.content)
    assert set(document) == {"message", "type"}
    return response.status_code, document["type"], document["message"]


def knock_refused(response: Any) -> tuple[int, str, str]:
    """A refusal in Knock's shape: status, code, message; a 422 lists its errors, as older SDKs expect."""
    assert response["Content-Type"] == "application/json", response.content
    document = json.loads(response.content)
    assert set(document) == {"code", "message", "status", "type"} | ({"errors"} & set(document))
    assert document["status"] == response.status_code
    assert ("errors" in document) is (response.status_code == 422)
    return response.status_code, document["code"], document["message"]


def suprsend_refused(response: Any) -> tuple[int, str, str]:
    """A refusal in all of SuprSend's shapes: status, type, message."""
    assert response["Content-Type"] == "application/json", response.content
    document = json.loads(response.content)
    assert set(document) == {"code", "status", "message", "error"}
    assert (document["code"], document["status"]) == (response.status_code, "error")
    assert document["error"]["message"] == document["message"]
    return response.status_code, document["error"]["type"], document["message"]


def refused_at(path: str, response: Any) -> tuple[int, str]:
    """A refusal in the shape that the path's dialect has: status, and its word for what is wrong."""
    dialect = dialect_of(path)
    if dialect == "native":
        return refused(response)[:2]
    shape = {"courier": courier_refused, "knock": knock_refused, "suprsend": suprsend_refused}[dialect or ""]
    return shape(response)[:2]


@pytest.fixture(autouse=True)
def _forget_versions() -> None:
    """Rolled-back tests give the same primary keys to others."""
    definitions.forget()
    invocations.forget()


@pytest.fixture(autouse=True)
def _in_force_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else has read the webhook endpoints, so nobody has to be waited for."""
    monkeypatch.setattr(endpoints, "KEPT_SECONDS", 0.0)


@pytest.fixture
def make_key(db: None) -> Callable[..., str]:
    """Makes keys: `make_key("read", "cancel", environment="test")` gives its text."""

    def make(*scopes: str, environment: str = "production", name: str = "backend", **given: Any) -> str:
        where = Environment.objects.get(key=environment)
        key, text = ApiKey.objects.issue(
            environment=where, name=name, scopes=scopes, created_by="test", **given
        )
        # As if used a moment ago: noting a use is one statement more, which is shown on its own.
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())
        return text

    return make


@pytest.fixture
def api(make_key: Callable[..., str]) -> Caller:
    """Production's backend, which may do everything but administer."""
    return Caller(make_key("read", "invoke", "cancel", "write"))


@pytest.fixture
def environment(db: None) -> Environment:
    return production()
