"""The django-q2 cluster itself, in a session of its own; every process of it dies with its parent, the first one
with the watchdog, who ties it."""

from __future__ import annotations

import signal
from types import FrameType

from django_q.cluster import Cluster

from automations.cluster import pump
from automations.cluster.parentage import tie_forks


def run_tree() -> int:
    """Runs until TERM or INT; 1 when the sentinel ended by itself."""
    tie_forks()
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
