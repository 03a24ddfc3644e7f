"""What the web server is sent over a bare socket: whatever it is, the answer is JSON."""

from __future__ import annotations

import json
import socket
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

import pytest

from tests.live import Product

CASES = [
    (b"X-Long: " + b"a" * 40_000, 431, "headers_too_large"),
    (b"X-Odd: a\x01b", 400, "bad_request"),
    (b"X Odd: a", 400, "bad_request"),
    (b"Content-Length: -5", 400, "bad_request"),
    (b"Content-Length: abc", 400, "bad_request"),
]


def told(product: Product, request: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of the answer to these bytes, after which it hangs up."""
    host, port = product.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as link:
        link.sendall(request)
        answer = b""
        while part := link.recv(65536):
            answer += part
    assert answer.count(b"HTTP/1.1 ") == 1
    response = HTTPResponse(_Received(answer))  # type: ignore[arg-type]  # asks of a socket for its file alone
    response.begin()
    content = response.read().decode()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, headers, json.loads(content) if "json" in headers["content-type"] else content


class _Received(BytesIO):
    def makefile(self, _mode: str) -> BytesIO:
        return self


def headed(path: str, *lines: bytes, method: str = "POST") -> bytes:
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", *lines, b"", b""])


@pytest.mark.parametrize(("line", "status", "code"), CASES)
def test_what_the_web_server_itself_refuses_is_a_problem_document(
    product: Product, line: bytes, status: int, code: str
) -> None:
    answered, headers, document = told(product, headed("/api/v1/invocations", line))
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    assert (document["status"], document["type"]) == (status, f"urn:countermand:problem:{code}")
    assert document["message"] == document["detail"] != ""


def test_a_header_of_32_kb_is_taken(product: Product) -> None:
    lines = (b"X-Long: " + b"a" * 30_000, b"Connection: close")
    assert told(product, headed("/healthz", *lines, method="GET"))[0] == 200


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/invocations", {"type": "urn:countermand:problem:invalid_chunks", "status": 400}),
        ("/automations/invoke", {"type": "invalid_request_error"}),
        (
            "/v1/workflows/k/trigger",
            {"type": "invalid_request_error", "status": 400, "code": "invalid_chunks"},
        ),
    ],
)
@pytest.mark.parametrize(
    "body", [b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n", b"2;\x00\r\n{}\r\n0\r\n\r\n"]
)
def test_chunks_that_are_none_are_a_malformed_body(
    product: Product, path: str, body: bytes, expected: dict[str, Any]
) -> None:
    key = f"Authorization: Bearer {product.key('read,invoke,cancel,write')}".encode()
    chunked = headed(path, key, b"Content-Type: application/json", b"Transfer-Encoding: chunked") + body
    status, _, document = told(product, chunked + headed("/healthz", method="GET"))
    assert (status, document | expected) == (400, document)
    assert "chunks" in (document.get("detail") or document["message"])
