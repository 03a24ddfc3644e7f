"""A real HTTP server and a real SMTP server on the loopback, each doing what a test tells it to."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Behaviour = Callable[[BaseHTTPRequestHandler], None]


class _Loopback(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what many tests are about."""


class _HttpLoopback(_Loopback, ThreadingHTTPServer):
    pass


class _Serving:
    """Runs a server for the length of a `with`; `stopping` lets a slow behaviour end at once."""

    server: _Loopback

    def __enter__(self) -> Self:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.005,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


class HttpSink(_Serving):
    """Answers 200 "ok" except on the paths a test gave a behaviour of their own."""

    def __init__(self, *, certificate: str | None = None) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.behaviours: dict[str, Behaviour] = {}
        self.server = _HttpLoopback(("127.0.0.1", 0), self._handler())
        self.certificate = certificate
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}{path}"

    def on(self, path: str, behaviour: Behaviour) -> str:
        """The URL of a path that behaves like this."""
        self.behaviours[path] = behaviour
        return self.url(path)

    def drip(self, start: bytes, piece: bytes) -> Behaviour:
        """Answers `start` at once, then `piece` every 20 ms without an end."""

        def behaviour(request: BaseHTTPRequestHandler) -> None:
            request.wfile.write(start)
            while not self.stopping.wait(0.02):
                request.wfile.write(piece)

        return behaviour

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                sink.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                sink.received.append(Received(self.path, headers, body))
                with suppress(OSError):
                    sink.behaviours.get(self.path, reply(200, b"ok"))(self)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Handler


def reply(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """An ordinary answer."""

    def behaviour(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return behaviour


def raw(answer: bytes) -> Behaviour:
    """Exactly these bytes, then the end of the connection."""

    def behaviour(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(answer)
        request.close_connection = True

    return behaviour


@dataclass
class Mail:
    """One message the server took."""

    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class SmtpSink(_Serving):
    """Takes every message; `answers` overrules the reply to a verb (or to "banner" and "content")."""

    answers: dict[str, bytes] = field(default_factory=dict)
    silent_at: str | None = None  # from this verb on, one byte of an endless reply every 20 ms
    certificate: str | None = None  # offers STARTTLS,
    implicit: bool = False  # or speaks TLS from the first byte
    mails: list[Mail] = field(default_factory=list)
    verbs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    sink.talk(self)
                except OSError:
                    pass
                finally:
                    self.connection.close()  # which may have become another one, with STARTTLS

        self.server = _Loopback(("127.0.0.1", 0), Handler)

    def talk(self, client: socketserver.StreamRequestHandler) -> None:
        """One session."""
        if self.implicit:
            self._encrypt(client)
        self._say(client, "banner", b"220 sink\r\n")
        mail = Mail("", [], b"")
        while line := client.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            self.verbs.append(verb.lower())
            default = b"250 OK\r\n"
            if (
                verb.lower() == "ehlo"
                and self.certificate
                and not isinstance(client.connection, ssl.SSLSocket)
            ):
                default = b"250-sink\r\n250 STARTTLS\r\n"
            if verb.lower() == "mail":
                mail = Mail(rest, [], b"")
            if verb.lower() == "rcpt":
                mail.recipients.append(rest)
            if verb.lower() == "starttls":
                default = b"220 go on\r\n"
            if verb.lower() == "data":
                default = b"354 go on\r\n"
            accepted = self._say(client, verb.lower(), default)
            if verb.lower() == "data" and accepted:
                self._take(client, mail)
            if verb.lower() == "starttls":
                self._encrypt(client)
            if verb.lower() == "quit":
                return

    def _say(self, client: socketserver.StreamRequestHandler, verb: str, default: bytes) -> bool:
        while verb == self.silent_at and not self.stopping.wait(0.02):
            client.wfile.write(b"2")
        answer = self.answers.get(verb, default)
        client.wfile.write(answer)
        return answer[:1] in b"23"

    def _take(self, client: socketserver.StreamRequestHandler, mail: Mail) -> None:
        lines: list[bytes] = []
        while (line := client.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        mail.content = b"".join(lines)
        if self._say(client, "content", b"250 taken\r\n"):
            self.mails.append(mail)

    def _encrypt(self, client: socketserver.StreamRequestHandler) -> None:
        assert self.certificate
        if self.silent_at == "handshake":
            self.stopping.wait(30)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        client.connection = context.wrap_socket(client.connection, server_side=True)
        client.rfile = client.connection.makefile("rb")
        client.wfile = client.connection.makefile("wb", buffering=0)
