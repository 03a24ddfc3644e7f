"""The watchdog: runs the django-q2 cluster as a tree of its own and replaces a tree that stopped working."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from types import FrameType

from django.conf import settings
from django.db import Error, connection

from automations.cluster import identity
from automations.cluster.parentage import tied_to_parent
from automations.execution import roster

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
STOP_SECONDS = 12.0
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
HEALTHY_SECONDS = 10.0  # a cluster that ends sooner is broken rather than unlucky
MOST_FAILURES = 8
GIVEN_UP = 70  # EX_SOFTWARE of sysexits(3)


class Watchdog:
    """Keeps one cluster tree alive until TERM, INT or HUP; then stops it within 15 seconds. Gives up after
    MOST_FAILURES trees in a row that did not last ten seconds, so that whoever supervises it hears of it."""

    def __init__(self) -> None:
        self.stopping = False
        self.tree: subprocess.Popen[bytes] | None = None
        self.born = 0.0
        self.failures = 0
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is under nohup
            signal.signal(signal.SIGHUP, self._on_signal)

    def watch(self) -> int:
        """Until told to stop, or there is no use in going on; the exit code."""
        next_check = 0.0
        while not self.stopping:
            if self.tree is None or self.tree.poll() is not None:
                self._replace("ended" if self.tree else None)
                next_check = time.monotonic() + CHECK_SECONDS
            elif time.monotonic() >= next_check:
                next_check = time.monotonic() + CHECK_SECONDS
                self._bury()
                if time.monotonic() - self.born > roster.IDLE_FOR.total_seconds() and _is_wedged():
                    self._replace("took no overdue work for 30 seconds")
            time.sleep(0.2)
            if self.failures >= MOST_FAILURES:
                log.critical("%s clusters in a row did not last; giving up", self.failures)
                self._kill()
                return GIVEN_UP
        self._stop()
        return 0

    def _replace(self, reason: str | None) -> None:
        """Kills what is left of the old tree and starts a new one, after a pause that grows with failures."""
        if reason is not None:
            log.error("the cluster %s; starting it again", reason)
            self._kill()
            lived = time.monotonic() - self.born
            self.failures = 0 if lived > HEALTHY_SECONDS else self.failures + 1
            self._pause(BACK_OFF_SECONDS[min(self.failures, len(BACK_OFF_SECONDS) - 1)])
        if self.stopping:
            return
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "cluster", "--tree"]
        tied = tied_to_parent(with_signal=signal.SIGKILL)
        self.tree = subprocess.Popen(command, start_new_session=True, preexec_fn=tied)
        self.born = time.monotonic()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stopping:
            time.sleep(0.1)

    def _stop(self) -> None:
        """Asks the parent of the tree alone, since a signal to the whole group makes django-q2 hang."""
        if self.tree is None or self.tree.poll() is not None:
            return
        self.tree.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.tree.wait(STOP_SECONDS)
        self._kill()

    def _kill(self) -> None:
        """Ends every process of the tree, orphans too: they are one session."""
        if self.tree is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.tree.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self.tree.wait(STOP_SECONDS)

    def _bury(self) -> None:
        """Kills workers of this tree that are frozen past the hard deadline of a step they lost, and records
        every dead worker of this machine: their lost steps have then ended, for certain."""
        with suppress(Error):
            workers = roster.alive_on(identity.host())
            for worker in roster.overdue(workers):
                if self.tree is not None and _session_of(worker.pid) == self.tree.pid:
                    log.error("worker %s is frozen past a step's deadline; it is killed", worker.pid)
                    os.kill(worker.pid, signal.SIGKILL)
            roster.bury(worker for worker in workers if identity.name_of(worker.pid) != worker.name)
        connection.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True


def _session_of(pid: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return None


def _is_wedged() -> bool:
    """Whether work is overdue while no worker takes any, and none is full. A database that is down is not our tree's
    fault."""
    try:
        return roster.is_idle_over_work()
    except Error:
        return False
    finally:
        connection.close()
