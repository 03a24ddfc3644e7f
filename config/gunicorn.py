"""What gunicorn is told beyond the socket, which `manage.py up` opens and hands over."""

from __future__ import annotations

import os

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
accesslog = None
errorlog = "-"
loglevel = "warning"
control_socket_disable = True  # it would stand outside the data folder, one for every server on the machine
