"""The supervisor of `manage.py up`: what it starts, and what becomes its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.pure,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans"),
]
# The program's child leaves a grandchild behind, which ends at once; the program itself goes on.
SCRIPT = """
import os, time
from pathlib import Path
from automations.management.processes import Program, Supervisor

orphan = ["/bin/sh", "-c", "/bin/sh -c '/bin/sleep 0.2 & echo $!'; exec /bin/sleep 60"]
seen, until = [], time.monotonic() + 20

def look():
    gone = seen and not Path("/proc", seen[0]).exists()
    if gone or time.monotonic() > until:
        print("reaped" if gone else "left", flush=True)
        os.kill(os.getpid(), 15)

supervisor = Supervisor(say=lambda line: seen.append(line.split()[-1]))
supervisor.add(Program(name="orphan", command=orphan, environment=os.environ))
supervisor.run(each_tick=look)
"""


def test_orphans_that_end_are_not_kept_as_zombies() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("reaped\n", 0), done.stderr
