"""Is the process in which expressions run: reads jobs from standard input, answers on standard output.

Started by process.py as `python -I -S evaluator.py <folder of _quickjs> <milliseconds> <mebibytes>`, never
imported by the server. It has one thread, since the engine's time limit counts the CPU of all threads, and
imports little, since it is started anew after every kill.

In:   4 bytes of length, then lines: what all jobs of the request share, and one line for each job.
Out:  one line for each job, `=` an answer or `!` an error, which is the last; then `.` and the CPU
      milliseconds this process has used so far. After starting, such a line alone says that it is ready.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STACK_BYTES = 256 * 1024
KERNEL_GRACE_S = 0.04
LOOKS = 4
LIMITS = (
    ("RLIMIT_AS", 160 * 1024 * 1024),
    ("RLIMIT_STACK", 8 * 1024 * 1024),
    ("RLIMIT_CORE", 0),
    ("RLIMIT_FSIZE", 0),
    ("RLIMIT_NPROC", 0),
    ("RLIMIT_NOFILE", 3),
)


def confine() -> None:
    """Give up what an expression never needs; where a system lacks one limit, the others remain."""
    try:
        prctl = importlib.import_module("ctypes").CDLL(None).prctl
        prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, linux/prctl.h
    except (ImportError, OSError, AttributeError):
        pass
    for name, limit in LIMITS:
        try:  # noqa: SIM105 (contextlib and what it imports would be a quarter of the start)
            resource.setrlimit(getattr(resource, name), (limit, limit))
        except (ValueError, OSError, AttributeError):
            pass


def read_exactly(count: int) -> bytes:
    """Read `count` bytes of standard input, or fewer at its end."""
    parts = []
    while count > 0 and (part := os.read(0, min(count, 1 << 20))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_lines(*lines: str) -> None:
    """Write lines to standard output, whole."""
    rest = memoryview("".join(line + "\n" for line in lines).encode())
    while rest:
        rest = rest[os.write(1, rest) :]


class Evaluator:
    """Runs jobs, each look in a context of its own; contexts are made and freed while nobody waits."""

    def __init__(self, engine: Any, *, time_s: float, memory: int) -> None:
        """Read the JavaScript beside this file; `engine` is the module _quickjs."""
        self.engine, self.time_s, self.memory = engine, time_s, memory
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "prelude.js"), encoding="utf-8") as file:
            self.prelude = file.read()
        with open(os.path.join(here, "tracing.js"), encoding="utf-8") as file:
            self.tracing = file.read()
        self.used: list[object] = []
        self.ready = [self.world()]

    def world(self) -> tuple[Any, Any]:
        """Make a context: what holds its limits, and the function that looks at a job."""
        context = self.engine.Context()
        context.set_memory_limit(self.memory)
        context.set_max_stack_size(STACK_BYTES)
        return context, context.eval(self.prelude)

    def rest(self) -> None:
        """Free the contexts of the last request and make the next one."""
        self.used.clear()
        if not self.ready:
            self.ready.append(self.world())

    def answer(self, shared: bytes, jobs: list[bytes]) -> None:
        """Write the replies to the jobs of one request, up to the first error; the CPU limit is for all.

        A reply leaves before the next job starts, so that the parent knows which job ended this process.
        """
        deadline = time.process_time() + self.time_s
        signal.setitimer(signal.ITIMER_PROF, self.time_s + KERNEL_GRACE_S)
        reply = self.evaluate((jobs[0] + shared).decode("ascii"), deadline)
        for job in jobs[1:]:
            if reply[0] == "!":
                break
            write_lines(reply)
            self.used.clear()
            reply = self.evaluate((job + shared).decode("ascii"), deadline)
        signal.setitimer(signal.ITIMER_PROF, 0)
        write_lines(reply, used_cpu())

    def evaluate(self, job: str, deadline: float) -> str:
        """Look at a job until the reply is final, and put what the wrapper raises into words."""
        memory = None
        try:
            for _ in range(LOOKS):
                world = self.ready.pop() if self.ready else self.world()
                self.used.append(world)
                context, look = world
                tracer = None if memory is None else context.eval(self.tracing)
                context.set_time_limit(max(deadline - time.process_time(), 0.001))
                reply: str = look(job, memory, tracer)
                if reply[0] != "?":
                    return reply
                memory = reply[1:]
        except self.engine.StackOverflow as error:
            return failure("stack", str(error))
        except self.engine.JSException as error:
            return failure(*classify(str(error)))
        return failure("runtime", "no answer after the last look")


def used_cpu() -> str:
    """Write the line that ends an answer."""
    return f".{time.process_time() * 1000:.0f}"


def classify(text: str) -> tuple[str, str]:
    """Name what only the engine itself can raise out of a look, since the prelude catches the rest."""
    if text.startswith("InternalError: interrupted"):
        return "timeout", "took longer than its CPU limit"
    if text.startswith(("InternalError: out of memory", "null")):
        return "memory", "needed more memory than its limit"
    return "runtime", text.split("\n", 1)[0]


def failure(kind: str, message: str) -> str:
    """Write an error reply; only plain characters, so that no JSON module is needed."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " .:,'()") else " " for c in message[:300])
    return f'!{{"kind":"{kind}","message":"{plain}","paths":[]}}'


def main() -> None:
    """Answer requests until standard input ends: the parent closed it, or died."""
    modules, time_ms, memory_mb = sys.argv[1:]
    sys.path.append(modules)
    # Not `quickjs`, whose import starts a thread and takes four times as long.
    engine = importlib.import_module("_quickjs")
    evaluator = Evaluator(engine, time_s=int(time_ms) / 1000, memory=int(memory_mb) * 1024 * 1024)
    confine()
    write_lines(used_cpu())
    while True:
        evaluator.rest()
        header = read_exactly(4)
        if len(header) < 4:
            return
        lines = read_exactly(int.from_bytes(header, "big")).split(b"\n")
        evaluator.answer(lines[0], lines[1:])


if __name__ == "__main__":
    main()
