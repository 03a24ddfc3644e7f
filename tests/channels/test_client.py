"""One request under one deadline, over connections that threads share and processes do not."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from automations.channels import DeliveryError, client
from automations.channels.client import Answer, Client
from tests.channels.sinks import HttpSink, raw, reply

HUNG_UP = "127.0.0.1 hung up or did not answer in HTTP"
LATE = "127.0.0.1 did not answer in time"
LOOPBACK = ("127.0.0.1",)


@pytest.fixture
def loopback() -> Iterator[Client]:
    client = Client(allow_private=LOOPBACK)
    yield client
    client.close()


def post(client: Client, url: str, *, body: bytes = b"{}", seconds: float = 5.0) -> Answer:
    headers = {"Idempotency-Key": "run:step"}
    deadline = time.monotonic() + seconds
    return client.request(method="POST", url=url, headers=headers, body=body, deadline=deadline, limit=65_536)


def late(call: Callable[[], object]) -> DeliveryError:
    """What fails after 0.3 s, the deadline in these tests, and not long after."""
    began = time.monotonic()
    with pytest.raises(DeliveryError) as caught:
        call()
    assert 0.3 <= time.monotonic() - began < 3
    return caught.value


@pytest.mark.parametrize(
    ("start", "piece", "detail"),
    [
        (b"", b"", {}),
        (b"", b"H", {}),
        (b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n", {}),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", {}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x", {"status": 200}),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", {"status": 200}),
        (b"HTTP/1.0 500 No\r\n\r\n", b"x", {"status": 500}),
    ],
)
def test_an_answer_that_drips_ends_at_the_deadline(
    http: HttpSink, loopback: Client, start: bytes, piece: bytes, detail: dict[str, int]
) -> None:
    url = http.on("/drip", http.drip(start, piece))
    error = late(lambda: post(loopback, url, seconds=0.3))
    # "H" again and again is no HTTP, but nobody can tell before the line ends.
    assert (error.message, error.retryable, error.detail) == (LATE, True, detail)


def test_a_server_that_reads_nothing_ends_at_the_deadline(loopback: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        error = late(lambda: post(loopback, url, body=b"x" * 16_000_000, seconds=0.3))
    assert (error.message, error.retryable) == (LATE, True)


def test_a_handshake_that_never_answers_ends_at_the_deadline(loopback: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/"
        loopback.tls()  # not part of the handshake
        error = late(lambda: post(loopback, url, seconds=0.3))
    assert (error.message, error.retryable) == (LATE, True)


def test_a_body_without_an_end_is_read_to_the_limit_only(http: HttpSink, loopback: Client) -> None:
    sent: list[int] = []

    def flood(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while not http.stopping.is_set():
                request.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                sent.append(4096)
        finally:
            hung_up.set()

    hung_up = threading.Event()
    answer = post(loopback, http.on("/flood", flood))
    assert (answer.status, len(answer.body)) == (200, 65_536)
    assert hung_up.wait(5)  # because we did
    assert sum(sent) < 16_000_000  # what fits into the sockets' buffers


def test_a_compressed_answer_is_not_unpacked(http: HttpSink, loopback: Client) -> None:
    url = http.on("/gzip", reply(200, b"\x1f\x8b not really", Content_Encoding="gzip"))
    assert post(loopback, url).body == b"\x1f\x8b not really"


def test_a_cookie_is_not_kept(http: HttpSink, loopback: Client) -> None:
    url = http.on("/", reply(200, b"ok", Set_Cookie="session=1"))
    assert post(loopback, url).headers["set-cookie"] == "session=1"
    post(loopback, url)
    assert ["cookie" in request.headers for request in http.received] == [False, False]


def test_a_proxy_of_the_environment_is_not_used(
    http: HttpSink, loopback: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(loopback, http.url("/direct")).body == b"ok"


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000 + b"\r\n"],
    ids=["nothing", "ssh", "endless headers"],
)
def test_what_is_not_http_may_be_retried(http: HttpSink, loopback: Client, answer: bytes) -> None:
    with pytest.raises(DeliveryError) as caught:
        post(loopback, http.on("/raw", raw(answer)))
    assert (caught.value.message, caught.value.retryable, caught.value.detail) == (HUNG_UP, True, {})


def test_an_answer_that_breaks_off_names_its_status(http: HttpSink, loopback: Client) -> None:
    url = http.on("/torn", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxx"))
    with pytest.raises(DeliveryError) as caught:
        post(loopback, url)
    assert (caught.value.retryable, caught.value.detail) == (True, {"status": 200})


def test_a_refused_connection_may_be_retried(loopback: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(DeliveryError) as caught:
        post(loopback, f"http://127.0.0.1:{port}/")
    said = "the connection to 127.0.0.1 failed: Connection refused"
    assert (caught.value.message, caught.value.retryable) == (said, True)


def test_64_threads_share_connections_and_lose_nothing(http: HttpSink, loopback: Client) -> None:
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda n: post(loopback, http.url(f"/{n}")).body, range(640)))
    assert answers == [b"ok"] * 640
    assert sorted(int(request.path[1:]) for request in http.received) == list(range(640))
    assert http.connections <= 64
    before = http.connections
    post(loopback, http.url("/again"))
    assert http.connections == before


def test_a_connection_the_server_closed_is_not_used_again(http: HttpSink, loopback: Client) -> None:
    url = http.on("/bye", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    assert [post(loopback, url).body for _ in range(9)] == [b"ok"] * 9
    assert (http.connections, len(http.received)) == (9, 9)


def test_a_server_that_hangs_up_on_a_kept_connection_is_asked_once_more(
    http: HttpSink, loopback: Client
) -> None:
    url = http.on("/rude", raw(b""))
    assert post(loopback, http.url()).body == b"ok"
    with pytest.raises(DeliveryError) as caught:
        post(loopback, url)
    assert (caught.value.message, caught.value.retryable) == (HUNG_UP, True)
    assert [request.path for request in http.received] == ["/", "/rude", "/rude"]


def test_what_must_not_be_repeated_is_sent_over_a_new_connection(http: HttpSink, loopback: Client) -> None:
    for _ in range(2):
        loopback.request(
            method="POST", url=http.url(), headers={}, body=b"", deadline=time.monotonic() + 5, limit=10
        )
    assert (http.connections, len(http.received)) == (2, 2)


def test_an_error_of_the_server_leaves_the_connection_usable(http: HttpSink, loopback: Client) -> None:
    url = http.on("/no", reply(503, b"later"))
    assert [post(loopback, url).status for _ in range(3)] == [503] * 3
    assert http.connections == 1


def test_the_shared_client_is_one_per_process() -> None:
    ours = client.shared(allow_private=LOOPBACK)
    assert client.shared(allow_private=LOOPBACK) is ours
    child = os.fork()
    if child == 0:
        os._exit(7 if client.shared(allow_private=LOOPBACK) is ours else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def encrypted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpSink]:
    """A web server of hooks.example, whose certificate we trust."""
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    with HttpSink(certificate=str(certificate)) as sink:
        yield sink


def test_tls_checks_the_name_although_the_address_is_connected_to(encrypted: HttpSink) -> None:
    known = Client(allow_private=LOOPBACK, resolver=lambda host, port: ["127.0.0.1"])
    assert post(known, encrypted.url(host="hooks.example")).body == b"ok"
    assert encrypted.received[0].headers["host"] == f"hooks.example:{encrypted.port}"
    with pytest.raises(DeliveryError) as caught:
        post(known, encrypted.url(host="other.example"))
    said = "Hostname mismatch, certificate is not valid for 'other.example'."
    assert caught.value.message == f"the connection to other.example failed: {said}"
    assert caught.value.retryable is True
    known.close()


def test_tls_trusts_no_stranger(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    known = Client(allow_private=LOOPBACK, resolver=lambda host, port: ["127.0.0.1"])
    with HttpSink(certificate=str(certificate)) as stranger, pytest.raises(DeliveryError) as caught:
        post(known, stranger.url(host="hooks.example"))
    assert caught.value.message == "the connection to hooks.example failed: self-signed certificate"


def test_the_authorities_are_loaded_once_for_all_threads_and_connections(
    encrypted: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def counted(context: ssl.SSLContext, *given: object) -> None:
        loaded.append(given)
        load(context, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    encrypted.on("/", reply(200, b"ok", Connection="close"))
    known = Client(allow_private=LOOPBACK, resolver=lambda host, port: ["127.0.0.1"])
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(known, encrypted.url(host="hooks.example")).body, range(32)))
    assert (answers, encrypted.connections, len(loaded)) == ([b"ok"] * 32, 32, 1)
