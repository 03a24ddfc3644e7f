"""What the web server takes, beyond what an application behind it can say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import pytest

from tests.live import Product

DELAY: dict[str, Any] = {"action": "delay", "duration": "1 hour"}


class Connection(HTTPConnection):
    """One that is kept open, as an SDK's is, with a key."""

    def __init__(self, product: Product) -> None:
        where = urlsplit(product.url)
        super().__init__(where.hostname or "", where.port, timeout=30)
        self.headers = {"Authorization": f"Bearer {product.key('read,invoke,cancel,write')}"}

    def ask(self, method: str, path: str, body: object = None, **query: Any) -> tuple[int, Any]:
        """Status and decoded answer."""
        sent = f"{path}?{urlencode(query, doseq=True)}" if query else path
        self.request(method, sent, None if body is None else json.dumps(body), self.headers)
        answer = self.getresponse()
        text = answer.read()
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.status, json.loads(text) if is_json else text


@pytest.fixture
def connection(product: Product) -> Iterator[Connection]:
    with closing(Connection(product)) as connection:
        yield connection


def workflow(product: Product) -> str:
    """The key of a published one."""
    key = f"long-{uuid4().hex[:8]}"
    body = {"key": key, "name": key, "definition": {"steps": [DELAY]}}
    product.http.post("automations", json=body).raise_for_status()
    product.http.post(f"automations/{key}/publish").raise_for_status()
    return key


def test_a_query_may_repeat_the_body_as_knocks_0_4_8_does(product: Product, connection: Connection) -> None:
    path = f"/v1/workflows/{workflow(product)}/trigger"
    names = [f"{index:04}{'ü' * 100}" for index in range(1_000)]
    body = {"actor": "a", "recipients": names, "cancellation_key": "ck"}
    assert len(urlencode(body, doseq=True)) > 600_000
    status, answer = connection.ask("POST", path, {**body, "data": {"n": 1}, "tenant": None}, **body)
    assert status == 200
    invocation = product.http.get(f"invocations/{answer['workflow_run_id']}").json()
    assert invocation["run_count"] == 1_000


def test_couriers_filters_have_as_many_characters_as_it_documents(
    product: Product, connection: Connection
) -> None:
    key = workflow(product)
    product.http.post("invocations", json={"automation": key}).raise_for_status()
    ids = ",".join([key, *("x" * 99 for _ in range(99))])
    assert 9_900 < len(ids) <= 10_000
    status, answer = connection.ask("GET", "/automations/runs", template_id=ids)
    assert (status, [run["template_id"] for run in answer["runs"]]) == (200, [key])


@pytest.mark.parametrize("path", ["/automations/invoke", "/v1/workflows/x/trigger", "/send", "/api/v1/runs"])
def test_after_a_refusal_the_connection_is_as_good_as_before(connection: Connection, path: str) -> None:
    connection.headers = {"Authorization": "Bearer nobodys"}
    connection.connect()
    kept = connection.sock
    for _ in range(3):
        status, answer = connection.ask("POST", path, {"data": "x" * 1_000_000})
        assert (status in (401, 404), isinstance(answer, dict), connection.sock is kept) == (True, True, True)
    connection.request("POST", path, iter([b"x" * 500_000, b"y" * 500_000]), connection.headers)  # in chunks
    connection.getresponse().read()
    assert connection.ask("GET", "/healthz")[0] == 200
    assert connection.sock is kept


@pytest.mark.parametrize("sent", [10 * 1024 * 1024 + 1, pytest.param(100_000, marks=pytest.mark.slow)])
def test_where_a_body_is_too_long_or_does_not_come_the_answer_says_that_it_hangs_up(
    connection: Connection, sent: int
) -> None:
    connection.putrequest("POST", "/v1/nothing")
    connection.putheader("Content-Length", str(sent))
    connection.endheaders(b"x" * 50_000)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (404, "close")


def test_a_line_without_end_is_refused(connection: Connection) -> None:
    connection.putrequest("GET", "/automations/runs?cursor=" + "x" * 1024 * 1024)
    connection.endheaders()
    assert connection.getresponse().status == 414
