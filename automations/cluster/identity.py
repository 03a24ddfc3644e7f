"""Which process a worker is: a name that no other process has, on this machine or another, now or later."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def host() -> str:
    """This machine, as it was started: others may have its name, and on Linux the same first process namespace; the
    containers on it share all but that. Where it is taken for another, its workers are taken for dead."""
    boot = namespace = ""
    with suppress(OSError):
        boot = f"/{_BOOT.read_text().strip()[:36]}"
    with suppress(OSError):
        namespace = f"/{os.stat('/proc/self/ns/pid').st_ino}"
    return f"{socket.gethostname()[:100]}{boot}{namespace}"


def name_of(pid: int) -> str | None:
    """The name of the process that has this id on this machine now; None when there is none, or it is dead and
    only waits to be noticed by its parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() or not _answers(pid) else f"{host()}/{pid}"
    state, begun = fields[0], fields[19]  # proc(5): 3 and 22, counted from behind the name
    return None if state in "ZX" else f"{host()}/{pid}/{begun}"


def _answers(pid: int) -> bool:
    """For systems without /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
