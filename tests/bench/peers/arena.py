"""One peer in its place: a fresh store, the program that drives it, its workers, and the stamps of their steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automations.cluster.parentage import tied_to_parent
from tests.bench.peers.roster import Peer
from tests.bench.peers.stores import fresh

ROOT = Path(__file__).resolve().parents[3]
LINE = 29  # bytes of a stamp
WARM_UP = 1_000
STOP_SECONDS = 15.0
DATA = {"user": "user-1", "tenant": "tenant-1", "plan": "pro", "note": "x" * 200}


class PeerError(Exception):
    """The peer did not do what was asked of it in time; the message says what, and what it printed last."""


@dataclass(frozen=True, kw_only=True)
class Arena:
    """Where one peer is measured. `url` names its store."""

    peer: Peer
    cache: Path
    folder: Path
    url: str
    driver: subprocess.Popen[str]
    version: str

    @contextmanager
    def working(self) -> Iterator[int]:
        """Two workers, which have proved to work unless the peer cannot wait; the process id of the first."""
        workers = []
        try:
            for number in range(self.peer.processes):
                workers.append(_run(self.peer, self.cache, self.folder, self.url, "work", str(number)))
            if self.peer.waiting:
                self._warm_up()
            yield workers[0].pid
        finally:
            _stop(workers)

    def create(self, dues: Sequence[float], *, tokens: Sequence[str] = ()) -> float:
        """Steps numbered from 0, due at these epoch seconds, to be called off by these `tokens`; how many seconds it
        took to create them."""
        begun = time.monotonic()
        for file in self.folder.glob("*.stamps"):
            os.truncate(file, 0)
        for start in range(0, len(dues), 10_000):
            part = enumerate(dues[start : start + 10_000], start)
            items = [{"index": index, "due": due, "data": DATA} for index, due in part]
            for item, token in zip(items, tokens[start : start + 10_000], strict=False):
                item["token"] = token
            self._ask({"create": items})
        return time.monotonic() - begun

    def finished(self, count: int, *, seconds: float) -> float:
        """Waits until so many steps were started and the peer has recorded them all; when that was, in epoch
        seconds. PeerError when it takes longer than `seconds`."""
        until = time.monotonic() + seconds
        while (seen := self._started()) < count or self._ask({}):
            if time.monotonic() > until:
                raise PeerError(
                    f"{seen:,} of {count:,} steps started within {seconds:.0f} s{_printed(self.folder)}"
                )
            time.sleep(0.02 if seen < count else 0.005)
        return time.time()

    def cancel(self, indexes: Sequence[int]) -> list[float]:
        """Calls these steps off, one after the other; the seconds that each call took."""
        return list(self._ask({"cancel": indexes}))

    def cancel_many(self) -> float:
        """Calls off all that have the token `many`; the seconds until that was acknowledged."""
        (seconds,) = self._ask({"many": True})
        return float(seconds)

    def starts(self) -> list[tuple[int, float]]:
        """The number of every started step, and its start in epoch seconds."""
        lines = [
            line.split() for file in self.folder.glob("*.stamps") for line in file.read_text().splitlines()
        ]
        return [(int(index), float(at)) for index, at in lines]

    def _warm_up(self) -> None:
        for _ in range(20):
            self.create([time.time()] * WARM_UP)
            self.finished(WARM_UP, seconds=90)
            if sum(file.stat().st_size > 0 for file in self.folder.glob("*.stamps")) >= 2:
                return
        raise PeerError(f"only one of its workers works{_printed(self.folder)}")

    def _started(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("*.stamps")) // LINE

    def _ask(self, question: Mapping[str, Any]) -> Any:
        assert self.driver.stdin is not None
        with suppress(BrokenPipeError):
            self.driver.stdin.write(json.dumps(question) + "\n")
            self.driver.stdin.flush()
        return _heard(self.driver, self.folder)


@contextmanager
def prepared(peer: Peer, *, cache: Path) -> Iterator[Arena]:
    """The peer over an empty store, its tables made, without workers yet; everything is gone afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cm-peer-")))
        url = stack.enter_context(fresh(peer.store))
        driver = _run(peer, cache, folder, url, "drive")
        stack.callback(_stop, [driver])
        version = _heard(driver, folder)
        yield Arena(peer=peer, cache=cache, folder=folder, url=url, driver=driver, version=version)


def _run(peer: Peer, cache: Path, folder: Path, url: str, *words: str) -> subprocess.Popen[str]:
    """The peer's program, in a session of its own, dying with us; what it complains of goes to a file."""
    environment = {
        **os.environ,
        "STORE_URL": url,
        "DATABASE_URL": url,
        "STAMPS": str(folder),
        "NODE_FOLDER": str(cache / "node"),
        "COUNTERMAND_DATA": str(folder),
        **peer.environment,
    }
    drives = subprocess.PIPE if words[0] == "drive" else subprocess.DEVNULL
    with (folder / f"{'-'.join(words)}.log").open("w") as log:
        return subprocess.Popen(
            peer.command(cache, *words),
            cwd=ROOT,
            env=environment,
            stdin=drives,
            stdout=drives if drives == subprocess.PIPE else log,
            stderr=log,
            text=True,
            start_new_session=True,
            preexec_fn=tied_to_parent(),
        )


def _heard(driver: subprocess.Popen[str], folder: Path) -> Any:
    """The driver's next answer. PeerError when it ended instead."""
    assert driver.stdout is not None
    line = driver.stdout.readline()
    if not line:
        raise PeerError(f"its driver ended{_printed(folder)}")
    return json.loads(line)


def _stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Asks them to end, and kills them and what they started when they do not."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + STOP_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(until - time.monotonic(), 0.1))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _printed(folder: Path) -> str:
    """The last line of what its programs printed, after a colon."""
    lines = [line for file in sorted(folder.glob("*.log")) for line in file.read_text().splitlines() if line]
    return f": {lines[-1][:300]}" if lines else ""
