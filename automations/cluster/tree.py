"""The django-q2 cluster itself, in a session of its own; every process of it dies with its parent, the first one
with the watchdog, who ties it."""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType

from django.db import OperationalError, connection
from django_q import cluster as django_q
from django_q.cluster import Cluster

from automations.cluster import pump
from automations.cluster.mailbox import Mailbox
from automations.cluster.parentage import tie_forks
from automations.models import is_prepared, unprepared

PAUSE_SECONDS = 0.5

log = logging.getLogger(__name__)


def run_tree() -> int:
    """Runs until TERM or INT; 1 when the sentinel ended by itself."""
    tie_forks()
    django_q.Queue = Mailbox
    _await_database()
    cluster = Cluster()
    told: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        told.append(number)
        pump.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    cluster.start()
    while not told and cluster.sentinel.is_alive():
        cluster.sentinel.join(timeout=0.2)
    if told:
        cluster.stop()
        return 0
    return 1


def _await_database() -> None:
    """django-q2 ends when the database does not answer at its start, or has no tables yet."""
    said = ""
    while missing := _what_is_missing():
        if missing != said:
            log.warning("waiting for the database: %s", missing)
        said = missing
        time.sleep(PAUSE_SECONDS)


def _what_is_missing() -> str:
    try:
        return "" if is_prepared() else unprepared()
    except OperationalError as error:
        return str(error).strip()
    finally:
        connection.close()  # processes forked from here open their own
