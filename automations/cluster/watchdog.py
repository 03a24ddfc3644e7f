"""The watchdog: runs the django-q2 cluster as a tree of its own and replaces a tree that stopped working."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from types import FrameType

from django.conf import settings
from django.db import Error, connection

from automations.cluster.parentage import die_with_parent
from automations.models import LiveRun, Worker, database_now

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
SILENT_FOR = timedelta(seconds=30)
STOP_SECONDS = 12.0
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
HEALTHY_SECONDS = 60.0


class Watchdog:
    """Keeps one cluster tree alive until TERM or INT; then stops it within 15 seconds."""

    def __init__(self) -> None:
        self.stopping = False
        self.tree: subprocess.Popen[bytes] | None = None
        self.born = 0.0
        self.failures = 0
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def watch(self) -> int:
        """Until told to stop; the exit code."""
        die_with_parent()
        next_check = 0.0
        while not self.stopping:
            if self.tree is None or self.tree.poll() is not None:
                self._replace("ended" if self.tree else None)
                next_check = time.monotonic() + CHECK_SECONDS
            elif time.monotonic() >= next_check:
                next_check = time.monotonic() + CHECK_SECONDS
                if time.monotonic() - self.born > SILENT_FOR.total_seconds() and _is_wedged():
                    self._replace("took no overdue work for 30 seconds")
            time.sleep(0.2)
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
        self.tree = subprocess.Popen(command, start_new_session=True)
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

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True


def _is_wedged() -> bool:
    """Whether work is overdue while no worker has given a sign of life. A database that is down is not our
    tree's fault."""
    try:
        now = database_now()
        silent = not Worker.objects.filter(seen_at__gt=now - SILENT_FOR).exists()
        return silent and LiveRun.objects.due(now=now - SILENT_FOR).exists()
    except Error:
        return False
    finally:
        connection.close()
