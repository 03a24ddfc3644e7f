"""Starts programs, relays what they print, starts those again that die, and leaves none behind."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from automations.cluster.parentage import adopt_orphans, tied_to_parent

GRACE = 13.5  # seconds between asking and killing: `up` promises 15, and the watchdog takes up to 12
TICK = 0.1  # seconds
STEADY = 60.0  # a program that ran this many seconds has earned a quick restart
LONGEST_PAUSE = 30.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run: `name` heads the lines it prints; descriptors in `pass_fds` stay open in it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    pass_fds: Sequence[int] = ()


@dataclass(kw_only=True)
class Running:
    """A started program, or one that waits for its next start."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    begun: float = 0.0
    start_at: float = 0.0
    pause: float = 0.0
    rest: bytes = b""  # an unfinished line


class Supervisor:
    """Runs programs until `stop` is asked for, by a signal or by the caller.

    One thread and one loop: children are forked from a process without other threads.
    """

    def __init__(self, *, say: Callable[[str], None]) -> None:
        self._children: list[Running] = []
        self._say = say
        self._selector = selectors.DefaultSelector()
        self._asked = 0  # how often we were asked to stop
        adopt_orphans()

    def add(self, program: Program) -> None:
        """Start it at the next tick, and keep it running from then on."""
        self._children.append(Running(program=program))

    def run(self, *, each_tick: Callable[[], None]) -> None:
        """Start everything and keep it running; returns when stopped, with nothing left running.

        `each_tick` is called about ten times a second and may raise to end everything.
        """
        handlers = {number: signal.signal(number, self._on_signal) for number in _STOPPING}
        try:
            while not self._asked:
                for child in self._children:
                    self._keep(child)
                self._reap_orphans()
                self._relay(TICK)
                each_tick()
        finally:
            self._stop()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def ended(self, name: str) -> bool:
        """Whether the program of that name ran and waits to be started again."""
        return any(c.program.name == name and c.process is None and c.begun > 0 for c in self._children)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1

    def _keep(self, child: Running) -> None:
        """Start the program when it is time to, or note that it died and when to start it again."""
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                self._start(child)
            return
        status = child.process.poll()
        if status is None:
            return
        self._drop(child)
        self._kill_strays()
        quick = now - child.begun > STEADY or not child.pause
        child.pause = 0.5 if quick else min(child.pause * 2, LONGEST_PAUSE)
        child.start_at = now + child.pause
        self._say(f"{child.program.name} ended with {_told(status)}; starting it again in {child.pause:g} s")

    def _start(self, child: Running) -> None:
        program = child.program
        child.process = subprocess.Popen(
            program.command,
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop them in our own way
            pass_fds=program.pass_fds,
            preexec_fn=tied_to_parent(),
        )
        child.begun = time.monotonic()
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _relay(self, timeout: float) -> None:
        """Pass on whole lines of what the programs print, each headed by its program's name."""
        if not self._selector.get_map():
            time.sleep(timeout)
            return
        for key, _ in self._selector.select(timeout):
            child: Running = key.data
            content = os.read(key.fd, 65536)
            if not content:  # closed by the program and all that inherited it
                self._selector.unregister(key.fileobj)
                continue
            *lines, child.rest = (child.rest + content).split(b"\n")
            for line in lines:
                self._say(f"{child.program.name:7} | {line.decode(errors='replace').rstrip()}")

    def _drop(self, child: Running) -> None:
        """Forget a dead process, after its last words."""
        assert child.process is not None
        assert child.process.stdout is not None
        if child.process.stdout in self._selector.get_map():
            with suppress(BlockingIOError):
                while content := os.read(child.process.stdout.fileno(), 65536):
                    child.rest += content
            self._selector.unregister(child.process.stdout)
        for line in child.rest.decode(errors="replace").splitlines():
            self._say(f"{child.program.name:7} | {line}")
        child.process.stdout.close()
        child.process, child.rest = None, b""

    def _stop(self) -> None:
        """Ask every program to stop, wait, kill what is left; a second signal meanwhile kills at once."""
        deadline = time.monotonic() + GRACE
        asked = self._asked
        left = [child for child in self._children if child.process is not None]
        for child in left:
            assert child.process is not None
            child.process.terminate()
        while left and time.monotonic() < deadline and self._asked <= max(asked, 1):
            with suppress(OSError):  # whoever read our words is gone: stop all the same
                self._relay(TICK)
            left = [child for child in left if child.process is not None and child.process.poll() is None]
        for child in left:
            assert child.process is not None
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
        for child in self._children:
            if child.process is not None:
                child.process.wait()
                with suppress(OSError):
                    self._drop(child)
        self._kill_strays()

    def _reap_orphans(self) -> None:
        """Take note of the end of processes that became ours when their parent died; else they stay for ever."""
        if sys.platform != "linux":  # nowhere else do they become ours
            return
        known = {child.process.pid for child in self._children if child.process is not None}
        with suppress(ChildProcessError):  # we have none at all
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in known:  # this one is for `_keep`
                    return
                os.waitpid(ended.si_pid, 0)

    def _kill_strays(self) -> None:
        """Kill what our dead children left behind, and what those leave behind in turn."""
        known = {child.process.pid for child in self._children if child.process is not None}
        while strays := _children_of(os.getpid()) - known:
            for pid in strays:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)


_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _children_of(parent: int) -> set[int]:
    """The process ids of its direct children; none where there is no /proc."""
    children = set()
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = file.read_text().rpartition(")")[2].split()  # the name in parentheses may hold anything
            if int(fields[1]) == parent:
                children.add(int(file.parent.name))
    return children


def _told(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
