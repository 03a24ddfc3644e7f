"""Installs the peers' packages into a folder outside the repository, and tells what the machine lacks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.bench.peers.roster import APT, Peer

PYTHON = ("celery", "dbos", "procrastinate", "psycopg[binary,pool]", "redis")
NODE = ("bullmq", "graphile-worker", "ioredis", "pg")


def lacking(peer: Peer) -> str | None:
    """In words, what the machine lacks to run the peer, and the command that installs it."""
    missing = [name for name in peer.runtimes if shutil.which(name) is None]
    return f"not measured: no {' and no '.join(missing)} here; {APT}" if missing else None


def install(cache: Path, peers: Iterable[Peer]) -> None:
    """What these peers need and the cache does not hold yet, by pip and npm."""
    runtimes = {peer.runtime for peer in peers}
    if "python" in runtimes:
        _python(cache / "python")
    if "node" in runtimes:
        _node(cache / "node")


def _python(folder: Path) -> None:
    python = folder / "bin" / "python"
    modules = ", ".join(word.partition("[")[0] for word in PYTHON)
    if python.exists() and subprocess.run([python, "-c", f"import {modules}"]).returncode == 0:
        return
    print(f"Installing {', '.join(PYTHON)} into {folder} ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PYTHON], check=True, timeout=600)


def _node(folder: Path) -> None:
    """All in one command: npm drops what an earlier one installed without writing it down."""
    if all((folder / "node_modules" / name).exists() for name in NODE):
        return
    print(f"Installing {', '.join(NODE)} into {folder} ...", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder)]
    subprocess.run([*command, *NODE], check=True, timeout=600)
