"""What gunicorn is told beyond the socket, which `manage.py up` opens and hands over."""

from __future__ import annotations

import json
import os
import socket

from gunicorn import util
from gunicorn.http import message

SPARE = 4  # threads that invokes never have all of

worker_class = "gthread"
workers = 2
threads = (int(os.environ.get("INVOKES_AT_ONCE") or 0) or 12) + SPARE  # `up` has refused what is no number
preload_app = True  # Django is loaded once and shared by the forked workers: half the start, less memory
timeout = 60  # seconds without a sign of life from a worker, not the length of a request
graceful_timeout = 10  # `up` promises to be gone within 15 s
keepalive = 65  # longer than the usual proxy's 60 s, so that it is the proxy who hangs up
# Old SDKs of Knock's repeat 1,000 recipients in the query, and Courier's filters have 10,000 characters. gunicorn knows
# 8,190 bytes or no bound at all, with which one endless line would take all memory.
limit_request_line = message.MAX_REQUEST_LINE = 1024 * 1024
# A token of a login proxy and the cookies of all that is at one name have outgrown gunicorn's 8,190 bytes.
limit_request_field_size = 32 * 1024
accesslog = None
errorlog = "-"
loglevel = "warning"
control_socket_disable = True  # it would stand outside the data folder, one for every server on the machine


def _write_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:
    """What gunicorn itself refuses, before Django sees it, is a problem document as all refusals are; and `message`, as
    the vendors' SDKs read it: gunicorn would say it in HTML."""
    from automations.api.shapes import Answer, problem_document
    from automations.models import new_uid

    code = _CODES.get(status_int, "bad_request")
    said = mesg or "something went wrong here"
    answer = Answer(status=status_int, code=code, message=said, facts={"message": said})
    body = json.dumps(problem_document(answer, str(new_uid())))
    head = (
        f"HTTP/1.1 {status_int} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    )
    util.write_nonblock(sock, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii"))


_CODES = {414: "address_too_long", 431: "headers_too_large", 500: "internal_error"}
util.write_error = _write_error
