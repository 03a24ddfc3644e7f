"""Takes what a refused request still holds, so that the next one on its connection is not lost with it."""

from __future__ import annotations

import time
from typing import Any, Protocol

from django.http import HttpRequest

MOST = 10 * 1024 * 1024  # the largest body that any address takes
CHUNK = 16 * 1024
PATIENCE = 2.0  # seconds for all of it


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def discard(request: HttpRequest) -> None:
    """Reads what is left of the body and throws it away. Where that is too much, or takes too long, the answer says
    that the connection is closed, and an SDK sends its next request on another."""
    meta = request.META
    length = meta.get("CONTENT_LENGTH") or ""
    chunked = not length and meta.get("wsgi.input_terminated")
    if length in ("", "0") and not chunked:
        return
    is_too_long = length.isdigit() and int(length) > MOST
    stream = meta["wsgi.input"] if chunked else request
    if (is_too_long or not _ended(stream, meta.get("gunicorn.socket"))) and "countermand.hang_up" in meta:
        meta["countermand.hang_up"]()


def _ended(stream: _Stream, socket: Any) -> bool:
    """Whether the stream was read to its end."""
    left, until = MOST, time.monotonic() + PATIENCE
    try:
        while left >= 0 and (seconds := until - time.monotonic()) > 0:
            if socket is not None:
                socket.settimeout(seconds)
            chunk = stream.read(CHUNK)
            if not chunk:
                return True
            left -= len(chunk)
    except Exception:  # the sender has gone, or what it sends are no proper chunks
        return False
    finally:
        if socket is not None:
            socket.settimeout(None)
    return False
