"""What django-q2's processes hand tasks to each other through: without a lock that one killed while it reads keeps."""

from __future__ import annotations

import logging
import pickle
import select
import socket
import time
from collections.abc import Mapping
from typing import Any

from automations.cluster.broker import PUMP

log = logging.getLogger(__name__)

LARGEST_BYTES = 128 * 1024
FULL_SECONDS = 0.02  # how often one that waits for room looks again
STOP = "STOP"  # what django-q2 tells its processes to end with


class Mailbox:
    """Stands in for django_q.queues.Queue, between one process's forks.

    multiprocessing's queue is read under a lock, which idle readers hold: the first worker or monitor that is
    killed leaves all others waiting for it for ever. The kernel hands out datagrams whole, and needs none.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * LARGEST_BYTES)

    def put(self, item: Any) -> None:
        """Waits for room: where there is a maximum size, until nothing is left unread."""
        if _is_nothing_to_tell(item):
            return
        content = _packed(item)
        if len(content) > LARGEST_BYTES:
            log.error("a task of %s bytes is too large to be handed to a worker; it is dropped", len(content))
            return
        while self._maxsize and item != STOP and not self.empty():
            time.sleep(FULL_SECONDS)
        self._writer.send(content)

    def get(self) -> Any:
        """The oldest item, once there is one."""
        return pickle.loads(self._reader.recv(LARGEST_BYTES))  # noqa: S301  (from our own processes alone)

    def empty(self) -> bool:
        return not select.select([self._reader], [], [], 0)[0]

    def qsize(self) -> int:
        """As much of it as django-q2's monitoring shows: 1 where it is not empty."""
        return 0 if self.empty() else 1

    def close(self) -> None:
        """Nothing is buffered in this process ..."""

    def join_thread(self) -> None:
        """... and nothing has to be waited for."""


def _is_nothing_to_tell(item: Any) -> bool:
    """Whether this is a pump that ended well: nobody stores that, and none shall wait for a monitor to read it."""
    return isinstance(item, Mapping) and item.get("func") == PUMP and bool(item.get("success"))


def _packed(item: Any) -> bytes:
    """The item; without its result, if that is why it would not fit."""
    content = pickle.dumps(item)
    if len(content) > LARGEST_BYTES and isinstance(item, Mapping) and "result" in item:
        content = pickle.dumps({**item, "result": f"{len(content)} bytes, too large to keep"})
    return content
