"""One chaos run from start to verdict: the real product, a client, an oracle, and faults by a seed."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from automations.cluster.parentage import tied_to_parent
from tests.chaos import faults
from tests.chaos.checker import Verdict, check
from tests.chaos.database import Postgres, Server, Sqlite
from tests.chaos.driver import Driver
from tests.chaos.evidence import Evidence
from tests.chaos.faults import Fault, Site
from tests.chaos.history import History
from tests.chaos.sink import HONEST, ROUGH, Sink

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "test-results" / "chaos"
LEASE_SECONDS = 2
UP_SECONDS = 60.0
STOP_SECONDS = 20.0
GAP = (0.1, 0.5)  # seconds between a fault and the next
LONGEST = 3  # times its seconds, a storm that waits for its faults
REAL = (
    "COUNTERMAND_DATA", "DATABASE_URL", "SECRET_KEY", "FIELD_KEYS", "SITE_URL", "ALLOWED_HOSTS", "WORKERS", "SLOTS",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`seconds` of `load` times 20 invokes a second, and more of it, up to three times as much, until `fewest`
    faults were injected: a seed may draw the long ones first; `calm` is the factor on the pauses between them,
    `pauses` on the test points' delays, `silent` the watchdog's patience in seconds (None: the product's own);
    `mutant` makes the product wrong; `patience` is how many seconds the runs are given to end after that."""

    seed: int
    seconds: float
    deck: Sequence[tuple[int, Fault]] = ()
    fewest: int = 0
    load: int = 1
    calm: float = 1.0
    pauses: float = 1.0
    silent: float | None = None
    mutant: str | None = None
    patience: float = 90.0
    mix: Mapping[str, float] = field(default_factory=lambda: ROUGH)


class Broken(Exception):
    """The product under chaos did not come up, or did not stop; the message holds what it printed."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """The running product: its address, and its first process."""

    url: str
    process: subprocess.Popen[bytes]


def run(plan: Plan, *, server: Server | None, say: Callable[[str], None] = print) -> Verdict:
    """The verdict over one run on PostgreSQL's `server`, or without one on SQLite; what a run that fails
    leaves behind is kept under test-results/chaos."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        history = History(folder)
        stack.callback(history.close)
        sink = stack.enter_context(Sink(folder))
        database: Postgres | Sqlite = Postgres(server) if server else Sqlite(folder)
        stack.enter_context(database)
        environment = environment_of(plan, folder=folder, url=database.url)
        key = beside(environment, database.direct_url, "tests.chaos.records", "prepare")
        with started(folder, environment) as product:
            driver = Driver(
                url=product.url, key=key, sink=sink.url, history=history, seed=plan.seed,
                rate=20.0 * plan.load, threads=6 * plan.load,
            )  # fmt: skip
            driver.publish()
            site = Site(
                product=product.process.pid, environment=environment, database=database, history=history
            )
            _storm(plan, site, driver, sink, say)
            rows = drained(folder, environment, database.direct_url, history, patience=plan.patience)
        verdict = check(Evidence(history=history.entries, receipts=sink.receipts(), **rows))
        if not verdict.holds and plan.mutant is None:
            say(f"kept for a look: {_keep(folder, plan, verdict)}")
        return verdict


def commit() -> str | None:
    """The commit of this tree; None where there is no git to tell."""
    with suppress(OSError):
        command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip() or None
    return None


def _storm(plan: Plan, site: Site, driver: Driver, sink: Sink, say: Callable[[str], None]) -> None:
    """Load and faults side by side; at the end everything is healed."""
    sink.behave(plan.mix, seed=plan.seed)
    draw = random.Random(plan.seed)
    deck = faults.shuffled(plan.deck, draw) if plan.deck else None
    struck = 0
    began = time.monotonic()
    driver.start()
    try:
        while (since := time.monotonic() - began) < plan.seconds or (
            struck < plan.fewest and since < LONGEST * plan.seconds
        ):
            time.sleep(plan.calm * draw.uniform(*GAP))
            if deck is not None:
                struck += faults.strike(next(deck), site, draw)
    finally:
        driver.stop()
        sink.behave(HONEST, seed=plan.seed)


def drained(
    folder: Path, environment: Mapping[str, str], url: str, history: History, *, patience: float
) -> dict[str, Any]:
    """What the database holds once no run is left to carry on, or so many seconds later."""
    file = folder / "rows.json"
    history.note("drain", "begin")
    beside(environment, url, "tests.chaos.records", str(file), str(patience))
    rows: dict[str, Any] = json.loads(file.read_text())
    history.note("drain", "end")
    history.entries[-1]["t"] = rows.pop("drained")
    return rows


@contextmanager
def started(folder: Path, environment: Mapping[str, str]) -> Iterator[Product]:
    """The product, once it is up, on a prepared database; stopped at the end."""
    with (folder / "product.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.up"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=tied_to_parent(),
        )
    try:
        yield Product(url=_address(process, folder / "product.log"), process=process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def environment_of(plan: Plan, *, folder: Path, url: str) -> dict[str, str]:
    """Of the product's processes: its data there, its database under `url`."""
    inherited = {name: value for name, value in os.environ.items() if name not in REAL}
    orders = {"seed": plan.seed, "pauses": plan.pauses, "silent": plan.silent, "mutant": plan.mutant}
    return inherited | {
        "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
        "CHAOS": json.dumps(orders),
        "COUNTERMAND_DATA": str(folder),
        "DATABASE_URL": url,
        "SECRET_KEY": secrets.token_urlsafe(32),
        "ALLOW_PRIVATE_NETWORKS": "127.0.0.1",
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "NO_BOOTSTRAP": "1",
    }


def beside(environment: Mapping[str, str], url: str, module: str, *arguments: str) -> str:
    """What a module of ours printed, run beside the product: without chaos, and not through the proxy."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**environment, "DATABASE_URL": url, "CHAOS": "{}"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Broken(f"{module} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Once the web server answers and the workers are there."""
    until = time.monotonic() + UP_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if port := log.read_text().partition("\n")[0]:
            url = f"http://127.0.0.1:{port}"
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                    return url
        time.sleep(0.2)
    raise Broken(f"the product did not come up:\n{log.read_text()[-4000:]}")


def _keep(folder: Path, plan: Plan, verdict: Verdict) -> Path:
    """Copies the evidence to where it outlives the run."""
    kept = ARTEFACTS / f"{int(time.time())}-{plan.seed}"
    kept.mkdir(parents=True)
    for name in ("history.jsonl", "sink.jsonl", "rows.json", "product.log"):
        if (folder / name).exists():
            shutil.copy(folder / name, kept)
    (kept / "verdict.json").write_text(json.dumps(asdict(verdict), indent=1, default=str))
    return kept
