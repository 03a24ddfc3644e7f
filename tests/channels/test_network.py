"""Which hosts may be reached: nothing private, however it is spelled and whoever resolves it."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Sequence

import pytest

from automations.channels import DeliveryError, network
from automations.channels.client import Client
from tests.channels.sinks import HttpSink

PUBLIC = "93.184.216.34"
NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "inside.example": ["10.0.0.5"],
    "both.example": [PUBLIC, "127.0.0.1"],
    "six.example": ["fd00:ec2::254"],
    "mapped.example": ["::ffff:10.0.0.5"],
    "zone.example": ["fe80::1%1"],
    "outside.example": [PUBLIC],
    "xn--bcher-kva.example": ["192.168.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
}
INCOMPLETE = "the URL must be a complete http or https URL"
USER = "the URL must not hold a user or a password; use a header"
HOST = "the URL's host is neither a host name nor an IP address"
PORT = "the URL's port must be from 1 to 65535"
PRIVATE = "{} is not on the public internet; ALLOW_PRIVATE_NETWORKS names the exceptions"

MISSHAPEN: dict[str, list[object]] = {
    INCOMPLETE: [
        "",
        "hooks.example/x",
        "//hooks.example/x",
        " http://hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
        "javascript:alert(1)",
        "unix:///var/run/docker.sock",
        "http://hooks.example/\r\nX-Injected: 1",
        "http://hooks.example/\0",
        "http://0177.0.0.1/",
        "http://00000127.0.0.1/",
        "http://300.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://\u200b127.0.0.1/",
        "http://127.0.0.1\u00ad/",
        "http://[127.0.0.1]/",
        "http://[::1",
        "http://[::1]x/",
        "http://hooks.example:80:90/",
        "http://hooks.example:8o/",
        None,
        5,
        ["http://hooks.example/"],
    ],
    USER: [
        "http://user@hooks.example/",
        "http://user:word@hooks.example/",
        "http://@hooks.example/",
        "http://hooks.example:80@127.0.0.1/",
        "http://hooks.example\\@127.0.0.1/",
        "http://127.0.0.1%2f@hooks.example/",
    ],
    HOST: [
        "http://",
        "http:///x",
        "http://:80/",
        "http:hooks.example",
        "http:\\\\127.0.0.1\\",
        "http://hooks\\.example/",
        "http://hooks .example/",
        "http://%31%32%37.0.0.1/",
        "http://127.0.0.1%00.hooks.example/",
        "http://[::1%25lo]/",
        "http://[fe80::1%eth0]/",
        "http://2130706433/",
        "http://0/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0x/",
        "http://127.1/",
        "http://127.0.1/",
        "http://017700000001/",
        "http://127.0.0.1./",
        "http://1.1.1.1.1/",
        "http://hooks.0x7f/",
        "http://hooks..example/",
        "http://*.example/",
        f"http://{'a' * 64}.example/",
        f"http://{'a.' * 127}example/",
    ],
    PORT: ["http://hooks.example:0/", "http://hooks.example:65536/", "http://hooks.example:-1/"],
}
PRIVATE_HOSTS = [
    "127.0.0.1",
    "127.255.255.254",
    "127。0。0。1",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::1]",
    "[100::1]",
    "[2001::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "inside.example",
    "both.example",
    "six.example",
    "mapped.example",
    "zone.example",
    "bücher.example",
    "metadata.google.internal",
]


def resolver(host: str, port: int) -> Sequence[str]:
    """Knows NAMES alone."""
    if host not in NAMES:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")
    return NAMES[host]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where the system was asked to connect to; nobody answers."""
    dialled: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], timeout: float) -> socket.socket:
        dialled.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return dialled


def post(
    client: Client, url: object, *, headers: dict[str, str] | None = None, seconds: float = 5.0
) -> tuple[int, bytes]:
    answer = client.request(
        method="POST",
        url=url,
        headers=headers or {},
        body=b"{}",
        deadline=time.monotonic() + seconds,
        limit=1024,
    )
    return answer.status, answer.body


def refusal(client: Client, url: object, *, seconds: float = 5.0) -> tuple[str, bool]:
    with pytest.raises(DeliveryError) as caught:
        post(client, url, seconds=seconds)
    return caught.value.message, caught.value.retryable


@pytest.mark.parametrize(("url", "message"), [(url, why) for why, urls in MISSHAPEN.items() for url in urls])
def test_a_url_that_two_parsers_could_read_differently_is_refused(
    url: object, message: str, dialled: list[tuple[str, int]]
) -> None:
    assert refusal(Client(allow_private=(), resolver=resolver), url) == (message, False)
    assert dialled == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_a_private_address_is_refused_however_it_is_spelled(
    host: str, scheme: str, dialled: list[tuple[str, int]]
) -> None:
    refused = refusal(Client(allow_private=(), resolver=resolver), f"{scheme}://{host}/x")
    shown = host.lower().strip("[]").replace("bücher", "xn--bcher-kva").replace("。", ".")
    assert refused == (PRIVATE.format(shown), False)
    assert dialled == []


@pytest.mark.parametrize(
    "text", [PUBLIC, "1.1.1.1", "2606:4700::1111", "2002:101:101::1", "64:ff9b::1.1.1.1", "100.128.0.1"]
)
def test_a_public_address_is_public(text: str) -> None:
    assert network.is_public(address=ipaddress.ip_address(text)) is True


def test_a_public_host_is_connected_to_by_the_address_that_was_checked(
    dialled: list[tuple[str, int]],
) -> None:
    client = Client(allow_private=(), resolver=resolver)
    failed = ("the connection to outside.example failed: Connection refused", True)
    assert refusal(client, "http://outside.example/") == failed
    assert refusal(client, "https://outside.example:8443/") == failed
    assert dialled == [(PUBLIC, 80), (PUBLIC, 8443)]


def test_a_public_host_is_not_reached_on_the_port_of_another_protocol(
    dialled: list[tuple[str, int]],
) -> None:
    message = (
        "port 25 of outside.example is none of 80, 443, 8443; ALLOW_PRIVATE_NETWORKS names the exceptions"
    )
    assert refusal(Client(allow_private=(), resolver=resolver), "http://outside.example:25/") == (
        message,
        False,
    )
    assert dialled == []


def test_a_name_that_turns_private_after_the_check_is_not_followed(dialled: list[tuple[str, int]]) -> None:
    answers = [[PUBLIC], ["127.0.0.1"]]
    client = Client(allow_private=(), resolver=lambda host, port: answers.pop(0))
    failed = "the connection to rebinding.example failed: Connection refused"
    assert refusal(client, "http://rebinding.example/") == (failed, True)
    assert (dialled, answers) == ([(PUBLIC, 80)], [["127.0.0.1"]])  # one look-up, and its address alone
    assert refusal(client, "http://rebinding.example/") == (PRIVATE.format("rebinding.example"), False)
    assert dialled == [(PUBLIC, 80)]


def test_the_next_address_is_tried_when_one_does_not_answer(dialled: list[tuple[str, int]]) -> None:
    client = Client(allow_private=(), resolver=lambda host, port: ["1.1.1.1", "2606:4700::1111"])
    refusal(client, "http://outside.example/")
    assert dialled == [("1.1.1.1", 80), ("2606:4700::1111", 80)]


def test_an_unknown_name_may_be_known_later(dialled: list[tuple[str, int]]) -> None:
    client = Client(allow_private=(), resolver=resolver)
    assert refusal(client, "http://nowhere.example/") == ("the name nowhere.example does not resolve", True)
    assert dialled == []


def test_a_resolver_that_hangs_does_not_outlast_the_deadline() -> None:
    released = threading.Event()

    def hang(host: str, port: int) -> Sequence[str]:
        released.wait(30)
        return [PUBLIC]

    began = time.monotonic()
    failed = refusal(Client(allow_private=(), resolver=hang), "http://slow.example/", seconds=0.2)
    taken = time.monotonic() - began
    released.set()
    assert failed == ("the name slow.example was not resolved in time", True)
    assert 0.2 <= taken < 3


@pytest.mark.parametrize(
    ("entry", "reached"),
    [
        ("127.0.0.1", True),
        ("127.0.0.0/8", True),
        ("127.0.0.1:{port}", True),
        ("sink.example", True),
        (" SINK.example. ", True),
        ("sink.example:{port}", True),
        ("127.0.0.1:1", False),
        ("sink.example:1", False),
        ("other.example", False),
        ("10.0.0.0/8", False),
        ("::1", False),
        ("[::1]:{port}", False),
    ],
)
def test_an_exception_opens_exactly_what_it_names(http: HttpSink, entry: str, *, reached: bool) -> None:
    client = Client(allow_private=(entry.format(port=http.port),), resolver=lambda host, port: ["127.0.0.1"])
    url = http.url(host="sink.example")
    if reached:
        assert post(client, url, headers={"Idempotency-Key": "k"}) == (200, b"ok")
        assert [request.headers["host"] for request in http.received] == [f"sink.example:{http.port}"]
    else:
        assert refusal(client, url) == (PRIVATE.format("sink.example"), False)
        assert http.connections == 0
    client.close()


def test_an_exception_holds_for_the_mapped_spelling_of_its_address(http: HttpSink) -> None:
    client = Client(allow_private=("127.0.0.1",))
    assert post(client, http.url(host="[::ffff:127.0.0.1]")) == (200, b"ok")
    client.close()


def test_an_exception_for_one_address_does_not_cover_the_other_one_of_a_name() -> None:
    client = Client(allow_private=("127.0.0.1",), resolver=resolver)
    assert refusal(client, "http://localhost/") == (PRIVATE.format("localhost"), False)
