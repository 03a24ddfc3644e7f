"""Holds the parent's end of one evaluator process: starts it, sends a request, and never waits for ever."""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from automations.expressions.errors import ExpressionError
from automations.expressions.limits import Limits

WALL_GRACE_S: Final = 0.05
"""Wall seconds beyond the CPU limit before the parent looks whether the limit is used up."""
START_S: Final = 5.0
"""Wall seconds an evaluator may take to start; it takes 20 ms."""
PATIENCE_S: Final = 2.0
"""Wall seconds in all that an evaluation may take on a machine with no CPU to spare."""
_PROGRAM: Final = Path(__file__).with_name("evaluator.py")
_LONGEST_LINE: Final = 1024 * 1024
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process, or None where there is no /proc (proc(5), fields 14 and 15)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _start(limits: Limits) -> subprocess.Popen[bytes]:
    spec = importlib.util.find_spec("_quickjs")
    if spec is None or spec.origin is None:
        raise ExpressionError("crashed", "quickjs-ng is not installed")
    arguments = [os.path.dirname(spec.origin), str(limits.time_ms), str(limits.memory_mb)]
    environment = {"LANG": "C.UTF-8", "TZ": "UTC", "MALLOC_ARENA_MAX": "1"}
    try:
        # A session of its own: no signal of the terminal or to the server's group reaches it.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            close_fds=True,
            start_new_session=True,
            cwd="/",
            env=environment | {"PATH": os.environ.get("PATH", os.defpath)},
        )
    except OSError as error:
        raise ExpressionError("crashed", f"an evaluator could not be started: {error}") from error


class EvaluatorProcess:
    """One evaluator, used by one thread at a time.

    It ends by itself when this process ends (its standard input closes), even in the middle of an endless
    expression (its CPU timer runs out).
    """

    def __init__(self, limits: Limits) -> None:
        """Start the process and wait until it is ready. Raises ExpressionError (crashed, starved)."""
        self._limits = limits
        self._process = _start(limits)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._output, select.POLLIN)
        self._writable.register(self._input, select.POLLOUT)
        self._pending = b""
        self._cpu = 0.0
        self.requests = 0
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet, as far as the kernel knows."""
        return self._process.poll() is None

    def exchange(self, request: bytes, replies: list[bytes]) -> None:
        """Send one request and append the replies to `replies` as they come, without what marks their end.

        Raises ExpressionError (timeout, starved, crashed); the process is of no use after that, nor after
        any other exception, and the replies received so far say which job was under way.
        """
        started = time.monotonic()
        self.requests += 1
        self._send(len(request).to_bytes(4, "big") + request, started)
        self._receive(replies, started)

    def _await_ready(self) -> None:
        if not self._readable.poll(1000 * START_S):
            raise ExpressionError("starved", "an evaluator took too long to start")
        line = os.read(self._output, 64)
        if not line.startswith(b"."):
            raise self._death()
        self._cpu = int(line[1:]) / 1000

    def _send(self, request: bytes, started: float) -> None:
        rest = memoryview(request)
        while rest:
            try:
                rest = rest[os.write(self._input, rest) :]
            except BlockingIOError:
                if not self._writable.poll(1000 * max(0.0, started + PATIENCE_S - time.monotonic())):
                    raise ExpressionError("starved", "the evaluator does not read") from None
            except OSError:
                raise self._death() from None

    def _receive(self, replies: list[bytes], started: float) -> None:
        wait = self._limits.time_ms / 1000 + WALL_GRACE_S
        while True:
            if not self._readable.poll(1000 * max(0.0, started + wait - time.monotonic())):
                wait = self._grant_more(time.monotonic() - started)
                continue
            chunk = os.read(self._output, 1 << 18)
            if not chunk or len(self._pending) > _LONGEST_LINE:
                raise self._death()
            *lines, self._pending = (self._pending + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"."):
                    self._cpu = int(line[1:]) / 1000
                    return
                replies.append(line)

    def _grant_more(self, waited: float) -> float:
        """Give the wall seconds, counted from the start, until which to wait on; raise where it is enough."""
        limit = self._limits.time_ms / 1000
        used = cpu_seconds(self.pid)
        if used is not None and used - self._cpu >= limit:
            raise ExpressionError("timeout", "took longer than its CPU limit")
        if waited >= max(PATIENCE_S, 2 * limit):
            raise ExpressionError("starved", "the machine is too busy to evaluate")
        return waited + 0.025

    def _death(self) -> ExpressionError:
        self.kill()
        if self._process.returncode == -signal.SIGPROF:
            return ExpressionError("timeout", "took longer than its CPU limit")
        return ExpressionError("crashed", "the evaluator ended unexpectedly")

    def kill(self) -> None:
        """End the process at once and close the pipes."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._close()

    def interrupt(self) -> None:
        """End the process from another thread than the one that uses it, which closes the pipes."""
        self._process.kill()

    def abandon(self) -> None:
        """After a fork, in the child: close the inherited pipe ends; the process is still the parent's."""
        self._process.returncode = 0  # not ours to wait for
        self._close()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
