"""The webhook channel: what it posts, what it makes of the answer, what it refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from automations.channels import DeliveryError, Message, deliver
from tests.channels.conftest import RUN
from tests.channels.sinks import HttpSink, reply


def send(message: Message) -> dict[str, Any]:
    return deliver("webhook", message, deadline=time.monotonic() + 5)


@pytest.mark.usefixtures("allowed")
def test_the_message_is_posted_as_json(http: HttpSink, message: Callable[..., Message]) -> None:
    given = message(
        {"webhook": {"url": http.url("/in?a=1#b")}}, title="Grüße", body="\u2028 \N{PARTY POPPER}"
    )
    assert send(given) == {"channel": "webhook", "to": http.url("/in"), "status": 200, "answer": "ok"}
    (request,) = http.received
    assert request.path == "/in?a=1"
    assert json.loads(request.body) == {
        "run": RUN,
        "step": "hello",
        "title": "Grüße",
        "body": "\u2028 \N{PARTY POPPER}",
        "recipient": "ada",
    }
    assert request.headers == {
        "host": f"127.0.0.1:{http.port}",
        "content-length": str(len(request.body)),
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "Countermand",
        "idempotency-key": f"{RUN}:hello",
    }


@pytest.mark.usefixtures("allowed")
def test_headers_of_the_author_are_sent(http: HttpSink, message: Callable[..., Message]) -> None:
    headers = {
        "Authorization": "Bearer x",
        "CONTENT-TYPE": "application/vnd.x+json",
        "X-Name": " Grüße\t1 ",
        "X-Number": 1.0,
    }
    send(message({"webhook": {"url": http.url(), "headers": headers}}))
    received = http.received[0].headers
    assert received["authorization"] == "Bearer x"
    assert received["content-type"] == "application/vnd.x+json"
    assert received["x-name"].encode("latin-1").decode() == "Grüße\t1"
    assert received["x-number"] == "1"


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "HOST", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive"),
        *("Proxy-Connection", "Proxy-Authorization", "TE", "Trailer", "Upgrade", "Expect"),
        *("Idempotency-Key", "idempotency-key"),
    ],
)
@pytest.mark.usefixtures("allowed")
def test_a_header_that_is_ours_cannot_be_set(
    http: HttpSink, failure: Callable[..., DeliveryError], name: str
) -> None:
    error = failure({"webhook": {"url": http.url(), "headers": {name: "1"}}})
    assert (error.message, error.retryable) == (f"the header {name} of a webhook cannot be set", False)
    assert http.connections == 0


CONTROL = "the header X-A of the webhook must be text without control characters"
NAME = "a header of the webhook has an impossible name"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"X-A": "1\r\nX-B: 2"}, CONTROL),
        ({"X-A": "1\n"}, CONTROL),
        ({"X-A": "1\r"}, CONTROL),
        ({"X-A": "1\0"}, CONTROL),
        ({"X-A": "\x7f"}, CONTROL),
        ({"X-A": "\ud800"}, CONTROL),
        ({"X-A": [1]}, CONTROL),
        ({"X-A": None}, CONTROL),
        ({"X-A: 1\r\nX-B": "2"}, NAME),
        ({"Host ": "x"}, NAME),
        ({"X A": "x"}, NAME),
        ({"X-Ä": "x"}, NAME),
        ({"": "x"}, NAME),
        ({"X-A": "x" * 17_000}, "the webhook's headers hold more than 16 KiB"),
        ("X-A: 1", "the webhook's headers must be an object"),
    ],
)
@pytest.mark.usefixtures("allowed")
def test_a_header_that_could_break_the_request_is_refused(
    http: HttpSink, failure: Callable[..., DeliveryError], headers: object, said: str
) -> None:
    error = failure({"webhook": {"url": http.url(), "headers": headers}})
    assert (error.message, error.retryable) == (said, False)
    assert http.connections == 0


@pytest.mark.parametrize("webhook", [None, {}, "https://hooks.example/", {"headers": {}}])
def test_a_webhook_without_a_url_is_refused(failure: Callable[..., DeliveryError], webhook: object) -> None:
    error = failure({"webhook": webhook})
    said = 'the webhook needs "to": {"webhook": {"url": ...}}'
    assert (error.message, error.retryable) == (said, False)


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (400, 401, 403, 404, 405, 409, 410, 413, 422, 451, 499)),
        *((status, True) for status in (408, 425, 429, 500, 501, 502, 503, 504, 599)),
        *((status, False) for status in (600, 999)),
    ],
)
@pytest.mark.usefixtures("allowed")
def test_a_refusal_says_whether_to_try_again(
    http: HttpSink, failure: Callable[..., DeliveryError], status: int, *, retryable: bool
) -> None:
    error = failure({"webhook": {"url": http.on("/no", reply(status, b"no\0"))}})
    assert error.message == f"the webhook answered {status}"
    assert (error.retryable, error.detail) == (retryable, {"status": status, "answer": "no\ufffd"})


@pytest.mark.parametrize("status", [201, 202, 204, 299])
@pytest.mark.usefixtures("allowed")
def test_every_2xx_is_a_delivery(http: HttpSink, message: Callable[..., Message], status: int) -> None:
    given = message({"webhook": {"url": http.on("/yes", reply(status))}})
    assert send(given) == {"channel": "webhook", "to": http.url("/yes"), "status": status, "answer": ""}


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
@pytest.mark.usefixtures("allowed")
def test_a_redirect_is_not_followed(
    http: HttpSink, failure: Callable[..., DeliveryError], status: int
) -> None:
    error = failure({"webhook": {"url": http.on("/go", reply(status, Location=http.url("/elsewhere")))}})
    assert error.message == f"the webhook answered {status}; redirects are not followed"
    assert error.retryable is False
    assert error.detail == {"status": status, "answer": "", "location": http.url("/elsewhere")}
    assert [request.path for request in http.received] == ["/go"]


@pytest.mark.usefixtures("allowed")
def test_the_first_1024_bytes_of_an_answer_are_recorded(
    http: HttpSink, message: Callable[..., Message]
) -> None:
    url = http.on("/much", reply(200, b"y" * 1_000_000))
    assert send(message({"webhook": {"url": url}})) == {
        "channel": "webhook",
        "to": url,
        "status": 200,
        "answer": "y" * 1024,
    }


def test_loopback_is_refused_by_default_and_reached_by_setting(
    http: HttpSink,
    settings: Settings,
    message: Callable[..., Message],
    failure: Callable[..., DeliveryError],
    request: pytest.FixtureRequest,
) -> None:
    to = {"webhook": {"url": http.url()}}
    said = "127.0.0.1 is not on the public internet; ALLOW_PRIVATE_NETWORKS names the exceptions"
    assert settings.ALLOW_PRIVATE_NETWORKS == ()
    assert failure(to).message == said
    del settings.ALLOW_PRIVATE_NETWORKS
    assert (failure(to).message, failure(to).retryable) == (said, False)
    assert http.connections == 0
    request.getfixturevalue("allowed")
    assert send(message(to))["status"] == 200
