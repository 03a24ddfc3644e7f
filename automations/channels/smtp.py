"""Django's SMTP backend under one total deadline, whatever the server does."""

from __future__ import annotations

import functools
import io
import smtplib
import socket
import ssl
import time
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

from automations.channels import network

_PIECE = 16 * 1024


@functools.cache
def _tls(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if certificate:
        context.load_cert_chain(certificate, key or None)
    return context


class DeadlineBackend(EmailBackend):
    """Sends through the server of Django's mail settings; nothing is sent after `deadline` (monotonic).

    A message the server has taken counts as sent, however the goodbye goes.
    """

    def __init__(self, *, deadline: float, **settings: Any) -> None:
        super().__init__(**settings)
        self._deadline = deadline

    def open(self) -> bool:
        """Whether a session had to be begun. Raises OSError, smtplib's errors among them."""
        if self.connection is not None:
            return False
        tls = _tls(str(self.ssl_certfile or ""), str(self.ssl_keyfile or ""))
        begin = functools.partial(_SslSession, context=tls) if self.use_ssl else _Session
        session = begin(self.host, self.port, deadline=self._deadline, local_hostname="localhost")
        try:
            session.local_hostname = session.own_name
            if self.use_tls:
                session.starttls(context=tls)
            if self.username and self.password:
                session.login(self.username, self.password)
        except BaseException:
            session.close()
            raise
        self.connection = session
        return True

    def _close_connection(self, connection: smtplib.SMTP) -> None:
        try:
            connection.quit()
        except OSError:
            connection.close()


def _own_name(connected: socket.socket) -> str:
    """What we call ourselves: never asked of the name servers (Django does, which may take long)."""
    name, address = socket.gethostname(), str(connected.getsockname()[0])
    if "." in name:
        return name
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"  # RFC 5321, section 4.1.3


class _Session(smtplib.SMTP):
    own_name: str

    def __init__(self, *args: Any, deadline: float, **options: Any) -> None:
        self._deadline = deadline
        super().__init__(*args, **options)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        addresses = network.look_up(
            host=host, port=port, resolver=network.system_resolver, deadline=self._deadline
        )
        connected = network.dial(addresses=addresses, port=port, deadline=self._deadline)
        connected.settimeout(self.left())
        self.own_name = _own_name(connected)
        return connected

    def left(self) -> float:
        """Seconds to the deadline; TimeoutError from then on."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def send(self, s: Any) -> None:
        data = s.encode(self.command_encoding) if isinstance(s, str) else bytes(s)
        for start in range(0, len(data), _PIECE):
            if self.sock is not None:
                self.sock.settimeout(self.left())
            super().send(data[start : start + _PIECE])

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Reader(self))
        reply = super().getreply()
        if self.sock is not None:  # a TLS handshake may follow, and it has but the socket's own limit
            self.sock.settimeout(max(0.001, self._deadline - time.monotonic()))
        return reply


class _SslSession(_Session, smtplib.SMTP_SSL):
    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connected = super()._get_socket(host, port, timeout)
        return self.context.wrap_socket(connected, server_hostname=host)


class _Reader(io.RawIOBase):
    """Reads a session's socket, giving every read only the time that is left."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        connected = self._session.sock
        if connected is None:
            return 0
        connected.settimeout(self._session.left())
        return connected.recv_into(buffer)
