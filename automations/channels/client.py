"""Makes one HTTP request under one total deadline, over connections kept for the whole process."""

from __future__ import annotations

import functools
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import certifi
import httpcore

from automations.channels import network
from automations.channels.base import DeliveryError

_KEEP_SECONDS = 4.0  # Node's servers, the most impatient ones in wide use, hang up after 5 s
_KEEP_MOST = 128
_PIECE = 16 * 1024
_Kept = tuple[float, httpcore.HTTPConnection]


class Answer(NamedTuple):
    """What came back: header names in lower case, the body up to the limit as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class _HungUp(DeliveryError):
    """The other side closed the connection before it answered."""


class Client:
    """Connections to hosts that may be reached, shared by all threads of a process.

    Not httpx.Client: one shared by 64 threads does a quarter of the requests per second, because its pool
    looks at every connection for every request. The parsing is httpcore's all the same. No cookies, no
    redirects, no proxies from the environment, no decompression.
    """

    def __init__(
        self, *, allow_private: Iterable[str], resolver: network.Resolver = network.system_resolver
    ) -> None:
        self._backend = _Backend(network.Allowance.of(allow_private), resolver)
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._kept: dict[str, list[_Kept]] = {}  # per origin, oldest first
        self._swept = 0.0

    def request(
        self,
        *,
        method: str,
        url: object,
        headers: Mapping[str, str],
        body: bytes,
        deadline: float,
        limit: int,
    ) -> Answer:
        """The answer, whatever its status, with at most `limit` bytes of body; `deadline` is monotonic.

        Header names and values must be legal. What is safe to repeat (a GET, or an Idempotency-Key) is sent
        once more when a kept connection turns out to be closed. Raises DeliveryError.
        """
        target = network.parse(url=url)
        lines = {"Host": target.netloc.decode("ascii"), "Content-Length": str(len(body)), **headers}
        request = httpcore.Request(
            method,
            httpcore.URL(
                scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
            ),
            headers=[(name.encode("ascii"), value.encode("utf-8")) for name, value in lines.items()],
            content=body,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write"), deadline)},
        )
        kept = self._take(request.url.origin) if method == "GET" or "Idempotency-Key" in headers else None
        if kept is not None:
            with suppress(_HungUp):
                return self._send(request, kept, limit=limit)
        return self._send(request, self._connect(request.url.origin), limit=limit)

    def tls(self) -> ssl.SSLContext:
        """The one TLS context of this client: loading the authorities takes 20 ms."""
        with self._lock:
            if self._tls is None:
                self._tls = _Context.trusting()
            return self._tls

    def close(self) -> None:
        """Hangs up every connection that is not in use."""
        with self._lock:
            kept = [connection for line in self._kept.values() for _, connection in line]
            self._kept.clear()
        for connection in kept:
            connection.close()

    def _send(self, request: httpcore.Request, connection: httpcore.HTTPConnection, *, limit: int) -> Answer:
        try:
            answer = _exchange(connection, request, limit=limit)
        except BaseException:
            connection.close()
            raise
        self._give(request.url.origin, connection)
        return answer

    def _connect(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        context = self.tls() if origin.scheme == b"https" else None
        return httpcore.HTTPConnection(origin, context, network_backend=self._backend)

    def _take(self, origin: httpcore.Origin) -> httpcore.HTTPConnection | None:
        while True:
            with self._lock:
                line = self._kept.get(str(origin))
                since, connection = line.pop() if line else (0.0, None)
            if connection is None:
                return None
            if time.monotonic() - since < _KEEP_SECONDS and not connection.has_expired():
                return connection
            connection.close()

    def _give(self, origin: httpcore.Origin, connection: httpcore.HTTPConnection) -> None:
        now = time.monotonic()
        dropped = []
        with self._lock:
            if now - self._swept > 1:
                self._swept = now
                dropped = self._sweep(now)
            if connection.is_idle() and sum(map(len, self._kept.values())) < _KEEP_MOST:
                self._kept.setdefault(str(origin), []).append((now, connection))
            else:
                dropped.append(connection)
        for old in dropped:
            old.close()

    def _sweep(self, now: float) -> list[httpcore.HTTPConnection]:
        dropped = []
        for origin, line in list(self._kept.items()):
            dropped += [connection for since, connection in line if now - since >= _KEEP_SECONDS]
            self._kept[origin] = [kept for kept in line if now - kept[0] < _KEEP_SECONDS]
            if not self._kept[origin]:
                del self._kept[origin]
        return dropped


@functools.cache
def shared(*, allow_private: tuple[str, ...]) -> Client:
    """This process's client for these exceptions, made when first needed and never carried over a fork."""
    return Client(allow_private=allow_private)


os.register_at_fork(after_in_child=shared.cache_clear)


def _exchange(connection: httpcore.HTTPConnection, request: httpcore.Request, *, limit: int) -> Answer:
    detail: dict[str, Any] = {}
    try:
        response = connection.handle_request(request)
        detail["status"] = response.status
        body = b""
        try:
            for piece in response.iter_stream():
                body += piece
                if len(body) >= limit:
                    break
        finally:
            response.close()
    except (OSError, httpcore.ProtocolError) as error:
        raise _failure(error, request.url.host.decode("ascii"), detail) from error
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    return Answer(response.status, headers, body[:limit])


def _failure(error: OSError | httpcore.ProtocolError, host: str, detail: dict[str, Any]) -> DeliveryError:
    if isinstance(error, TimeoutError):
        return DeliveryError(f"{host} did not answer in time", retryable=True, detail=detail)
    if isinstance(error, httpcore.LocalProtocolError):
        return DeliveryError("the request's headers are not legal HTTP", retryable=False)
    if isinstance(error, OSError):
        reason = getattr(error, "verify_message", "") or error.strerror or type(error).__name__
        said = f"the connection to {host} failed: {reason}"
    else:
        said = f"{host} hung up or did not answer in HTTP"
    closed = not detail and isinstance(error, (ConnectionError, httpcore.RemoteProtocolError))
    return (_HungUp if closed else DeliveryError)(said, retryable=True, detail=detail)


class _Context(ssl.SSLContext):
    @classmethod
    def trusting(cls) -> ssl.SSLContext:
        """Verifies against SSL_CERT_FILE or SSL_CERT_DIR where given, else Mozilla's authorities."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        context.load_verify_locations(file or (None if folder else certifi.where()), folder)
        super(_Context, context).set_alpn_protocols(["http/1.1"])
        return context

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Nothing: httpcore sets them for every connection, while OpenSSL copies them in other threads."""


def _left(moment: float | None) -> float:
    left = (moment or 0.0) - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Backend(httpcore.NetworkBackend):
    """Connects httpcore to checked addresses; here and in _Stream a `timeout` is a moment, not a duration.

    httpcore hands through what the request names, and a moment is what makes the limit a total one.
    """

    def __init__(self, allowance: network.Allowance, resolver: network.Resolver) -> None:
        self._allowance = allowance
        self._resolver = resolver

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        deadline = time.monotonic() + _left(timeout)
        addresses = network.checked_addresses(
            host=host, port=port, allowance=self._allowance, resolver=self._resolver, deadline=deadline
        )
        return _Stream(network.dial(addresses=addresses, port=port, deadline=deadline))


class _Stream(httpcore.NetworkStream):
    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._socket.settimeout(_left(timeout))
        return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            for start in range(0, len(buffer), _PIECE):
                self._socket.settimeout(_left(timeout))
                self._socket.sendall(buffer[start : start + _PIECE])
        except TimeoutError:
            raise
        except OSError as error:  # what httpcore knows how to outlive: it still reads an early answer
            raise httpcore.WriteError from error

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            self._socket.settimeout(_left(timeout))
            return _Stream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname))
        except BaseException:
            self._socket.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable":
            return None
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))
