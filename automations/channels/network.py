"""Says which hosts may be reached, and connects to exactly the addresses that were checked."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

import httpx

from automations.channels.base import DeliveryError

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]  # (host, port) -> addresses as text; raises OSError

PORTS = frozenset({80, 443, 8443})
_NAME = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_NUMBER_LAST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")  # WHATWG URL: "ends in a number", hence IPv4
_WITH_PORT = re.compile(r"(\[[^]]*\]|[^:]*):([0-9]+)")
_UNICAST = IPv6Network("2000::/3")  # IANA: the one range global unicast addresses are given from
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
# IANA's special-purpose registries, where is_global of Python 3.11 is behind them; and one that is global
# on paper but answers from inside: Azure's platform service.
_REFUSED = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("168.63.129.16/32"),
    IPv6Network("3fff::/20"),
)
_MOST_ADDRESSES = 8
T = TypeVar("T")


@dataclass(frozen=True)
class Allowance:
    """The hosts that may be reached although private; a None port stands for every port."""

    names: frozenset[tuple[str, int | None]]
    networks: tuple[tuple[IPv4Network | IPv6Network, int | None], ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> Allowance:
        """Reads host names, addresses and CIDR ranges, each with or without `:port`."""
        names: set[tuple[str, int | None]] = set()
        networks: list[tuple[IPv4Network | IPv6Network, int | None]] = []
        for entry in entries:
            host, port = _host_and_port(entry.strip().lower())
            try:
                networks.append((ipaddress.ip_network(host, strict=False), port))
            except ValueError:
                names.add((host.rstrip("."), port))
        return cls(names=frozenset(names), networks=tuple(networks))

    def covers(self, *, host: str, port: int, address: Address) -> bool:
        """Whether this address, reached under this name, is one of the exceptions."""
        if self._names(host, port):
            return True
        return any(address in network and wanted in (None, port) for network, wanted in self.networks)

    def may_cover(self, *, host: str, port: int) -> bool:
        """Whether this name may be one of the exceptions, whatever its addresses are."""
        return self._names(host, port) or any(wanted in (None, port) for _, wanted in self.networks)

    def _names(self, host: str, port: int) -> bool:
        name = host.lower().rstrip(".")
        return (name, None) in self.names or (name, port) in self.names


def _host_and_port(entry: str) -> tuple[str, int | None]:
    with_port = _WITH_PORT.fullmatch(entry)
    host, port = (with_port[1], int(with_port[2])) if with_port else (entry, None)
    return host.strip("[]"), port


def parse(*, url: object) -> httpx.URL:
    """The address of a request, parsed once; the very same object is connected to.

    Raises DeliveryError (not retryable) for whatever two parsers could read differently: another scheme,
    a user, a backslash, an escaped host, a number that is an IPv4 address to some.
    """
    try:
        parsed = httpx.URL(url) if isinstance(url, str) else None
    except (httpx.InvalidURL, UnicodeError):
        parsed = None
    if parsed is None or parsed.scheme not in ("http", "https"):
        raise DeliveryError("the URL must be a complete http or https URL", retryable=False)
    authority = str(url).partition("//")[2]
    if "@" in re.split(r"[/?#]", authority, maxsplit=1)[0]:
        raise DeliveryError("the URL must not hold a user or a password; use a header", retryable=False)
    host = parsed.raw_host.decode("ascii")
    if literal(host=host) is None and (not _NAME.fullmatch(host) or _NUMBER_LAST.fullmatch(host)):
        raise DeliveryError("the URL's host is neither a host name nor an IP address", retryable=False)
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise DeliveryError("the URL's port must be from 1 to 65535", retryable=False)
    return parsed


def literal(*, host: str) -> Address | None:
    """The address, if the host is one in its plain spelling (and without a zone), else None."""
    try:
        return None if "%" in host else ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(*, address: Address) -> bool:
    """Whether the address is a unicast one of the public internet, also after 6to4 or NAT64."""
    if isinstance(address, IPv6Address):
        inner = address.sixtofour or (IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None)
        if inner is not None:
            return is_public(address=inner)
        if address not in _UNICAST:
            return False
    special = address.is_multicast or address.is_reserved or any(address in net for net in _REFUSED)
    return address.is_global and not special


def checked_addresses(
    *, host: str, port: int, allowance: Allowance, resolver: Resolver, deadline: float
) -> list[str]:
    """Where the host may be connected to: its addresses, of one single look-up, every one of them checked.

    Raises DeliveryError: not retryable when an address is private (the message does not tell which), or the
    port is none of PORTS; retryable when the look-up fails.
    """
    given = literal(host=host)
    texts = [str(given)] if given else look_up(host=host, port=port, resolver=resolver, deadline=deadline)
    checked: list[str] = []
    for text in texts:
        address = ipaddress.ip_address(text)
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if not allowance.covers(host=host, port=port, address=address):
            _refuse_private(host=host, port=port, address=address)
        checked.append(str(address))
    return checked[:_MOST_ADDRESSES]


def _refuse_private(*, host: str, port: int, address: Address) -> None:
    if not is_public(address=address):
        raise DeliveryError(
            f"{host} is not on the public internet; ALLOW_PRIVATE_NETWORKS names the exceptions",
            retryable=False,
        )
    check_port(host=host, port=port)


def check_port(*, host: str, port: int) -> None:
    """Raises DeliveryError (not retryable) for a port that is none of PORTS."""
    if port not in PORTS:
        raise DeliveryError(
            f"port {port} of {host} is none of 80, 443, 8443; ALLOW_PRIVATE_NETWORKS names the exceptions",
            retryable=False,
        )


def look_up(*, host: str, port: int, resolver: Resolver, deadline: float) -> list[str]:
    """The host's addresses; raises DeliveryError (retryable) when there are none by the deadline."""
    try:
        addresses = within(lambda: list(resolver(host, port)), deadline=deadline)
    except TimeoutError:
        raise DeliveryError(f"the name {host} was not resolved in time", retryable=True) from None
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise DeliveryError(f"the name {host} does not resolve", retryable=True)
    return addresses


def system_resolver(host: str, port: int) -> list[str]:
    """The system's answer, in the order of RFC 6724."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def within(call: Callable[[], T], *, deadline: float) -> T:
    """The call's result, or its OSError or ValueError; TimeoutError at the deadline.

    For what the system offers without a time limit: the call itself goes on, in a daemon thread, so it must
    have no effect.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except (OSError, ValueError) as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result(timeout=max(0.0, deadline - time.monotonic()))


def dial(*, addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
    """A connection to the first address that answers; each may use an equal share of the time left.

    Raises OSError, TimeoutError among them.
    """
    failure: OSError = TimeoutError()
    for tried, address in enumerate(addresses):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            connected = socket.create_connection((address, port), timeout=left / (len(addresses) - tried))
        except OSError as error:
            failure = error
            continue
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    raise failure
