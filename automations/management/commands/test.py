"""`manage.py test`: the suite on SQLite and PostgreSQL at once, and in words what did not run."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from automations.cluster.parentage import tied_to_parent

# Options of pytest that need the terminal for themselves: then one database is tested after the other.
INTERACTIVE = {"-s", "--capture=no", "--pdb", "--trace"}
# Settings of a real installation, which must not reach the tests.
REAL = {
    "COUNTERMAND_DATA",
    "DATABASE_URL",
    "DJANGO_SETTINGS_MODULE",
    "SITE_URL",
    "SECRET_KEY",
    "FIELD_KEYS",
    "ALLOWED_HOSTS",
}
# Compiled code is kept even where the machine says not to: some forty processes of ours would each compile us anew.
COMPILING = {"PYTHONDONTWRITEBYTECODE"}
NO_TESTS_COLLECTED = 5  # pytest's exit status
NO_BROWSER = "no Chromium"  # the reason with which tests/browser skips
POSTGRES_HELP = "sudo apt-get install -y postgresql"
BROWSER_HELP = "sudo apt-get install -y --no-install-recommends chromium"
STOP_SECONDS = 10.0


@dataclass(kw_only=True)
class Half:
    """The suite on one database: how it is started, and what came of it."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    options: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None
    seconds: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)

    def start(self, arguments: Sequence[str], *, aside: bool) -> None:
        """Start pytest, with its output on the terminal, or `aside` in a file to be shown later."""
        color = ["--color=yes"] if aside and sys.stdout.isatty() else []
        self.folder.mkdir()
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *self.options, *color, *arguments],
                cwd=settings.BASE_DIR,
                env={**self.environment, "COUNTERMAND_TEST_REPORT": str(self.folder / "report.json")},
                stdout=file if aside else None,
                stderr=subprocess.STDOUT if aside else None,
                preexec_fn=tied_to_parent(),
            )
        self.seconds = time.monotonic()

    def follow(self) -> None:
        """Show what was put aside, and what is still to come, until pytest ends."""
        with self._output.open("rb") as file:
            running = True
            while running:
                running = self.running
                sys.stdout.buffer.write(file.read())
                sys.stdout.flush()
                time.sleep(0.1 if running else 0)

    @property
    def running(self) -> bool:
        """Whether pytest is at work; notes the time it took once it is not."""
        assert self.process is not None
        if self.process.poll() is None:
            return True
        if not self.report:
            file = self.folder / "report.json"
            self.report = json.loads(file.read_text()) if file.exists() else {"reasons": {}, "left_out": {}}
            self.seconds = time.monotonic() - self.seconds
        return False

    def stop(self) -> None:
        """End pytest, which may have had the same Ctrl-C as we."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def count(self, *outcomes: str) -> int:
        return sum(self.report.get(outcome, 0) for outcome in outcomes)

    @property
    def status(self) -> int:
        """Pytest's exit status; 1 where it died without one."""
        return self.process.returncode if self.process and self.process.returncode >= 0 else 1

    @property
    def _output(self) -> Path:
        return self.folder / "output"


class Command(BaseCommand):
    help = "Runs the tests; takes pytest's arguments, and --all for the slow ones as well."

    def run_from_argv(self, argv: list[str]) -> None:
        """Everything behind `test` is for pytest, so that our parser never sees it."""
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            sys.exit(run(argv[2:]))
        except CommandError as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            sys.exit("Interrupted.")


def run(arguments: Sequence[str]) -> int:
    """The exit status: 0 where all that ran passed and nothing that REQUIRE names is missing."""
    required = {word for word in os.environ.get("REQUIRE", "").split(",") if word}
    if required - {"browser", "node", "postgres"}:
        raise CommandError(f"REQUIRE={os.environ['REQUIRE']}: expected some of browser, node, postgres")
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        halves = _halves(stack, arguments, missing)
        _run_all(halves, arguments)
    if skipped := sum(half.report["reasons"].get(f"Skipped: {NO_BROWSER}", 0) for half in halves):
        missing["browser"] = f"{skipped} browser tests: {NO_BROWSER}. This helps:  {BROWSER_HELP}"
    _close(halves, missing)
    statuses = {half.status for half in halves}
    if statuses == {NO_TESTS_COLLECTED}:
        return NO_TESTS_COLLECTED
    return int(bool(statuses - {0, NO_TESTS_COLLECTED} or required & set(missing)))


def _halves(stack: ExitStack, arguments: Sequence[str], missing: dict[str, str]) -> list[Half]:
    """What to run on SQLite, and on a PostgreSQL that lives as long as the stack; else why it is missing."""
    try:
        from tests import chromium, postgres
    except ModuleNotFoundError as error:
        raise CommandError(f"The tests are not part of this installation ({error}).") from error
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cm-test-")))
    environment = _environment(browser=chromium.find() or _fetched(chromium.fetch, arguments))
    halves = [Half(name=f"SQLite {sqlite3.sqlite_version}", folder=folder / "1", environment=environment)]
    try:
        url, version = stack.enter_context(_given_or(postgres.throw_away))
    except postgres.NoPostgres as reason:
        missing["postgres"] = f"anything on PostgreSQL: {reason}. This helps:  {POSTGRES_HELP}"
        _loudly(f"Nothing is tested on PostgreSQL: {reason}")
        return halves
    halves[0].options = ["--beside-another"]
    options = ["--without-pure", "--beside-another", "--products-first"]
    options += ["-o", "cache_dir=.pytest_cache/postgresql"]
    variables = {**environment, "DATABASE_URL": url}
    return [*halves, Half(name=version, folder=folder / "2", environment=variables, options=options)]


def _run_all(halves: Sequence[Half], arguments: Sequence[str]) -> None:
    """The first half on the terminal, the others at the same time but shown after it."""
    at_once = not INTERACTIVE & set(arguments)
    try:
        for half in halves:
            half.start(arguments, aside=at_once and half is not halves[0])
            while half.running and not at_once:
                time.sleep(0.05)
        while _busy(halves)[0]:
            time.sleep(0.05)
        for half in halves[1:] if at_once else ():
            print(f"\n{half.name}, tested at the same time:", flush=True)
            half.follow()
    finally:
        for half in halves:
            half.stop()


def _busy(halves: Sequence[Half]) -> list[bool]:
    """Which halves are at work; all are asked, so that each notes the time when it has ended."""
    return [half.running for half in halves]


@contextmanager
def _given_or(throw_away: Any) -> Iterator[tuple[str, str]]:
    """DATABASE_URL where it names a PostgreSQL to test on, else a throw-away one."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        yield given, "PostgreSQL of DATABASE_URL"
        return
    with throw_away() as server:
        yield server


def _environment(*, browser: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in REAL | COMPILING}
    return kept | {"NO_BOOTSTRAP": "1"} | ({"TEST_BROWSER": browser} if browser else {})


def _fetched(fetch: Any, arguments: Sequence[str]) -> str | None:
    """Playwright's own browser, unless the arguments name tests and none of them for the browser."""
    named = [word for word in arguments if Path(settings.BASE_DIR, word.partition("::")[0]).exists()]
    if named and not any("browser" in word for word in named):
        return None
    print("There is no Chromium on this machine; Playwright tries to fetch one ...", flush=True)
    found: str | None = fetch()
    print(f"... {found}" if found else "... it could not.", flush=True)
    return found


def _close(halves: Sequence[Half], missing: Mapping[str, str]) -> None:
    """The block at the end: what ran where, how many and how long, and what did not run and why."""
    print(f"\n{'':26}{'passed':>8}{'failed':>8}{'skipped':>9}{'time':>8}")
    for half in halves:
        failed = half.count("failed", "error", "xpassed") or ("crash" if half.status not in (0, 5) else 0)
        passed, skipped = half.count("passed", "xfailed"), half.count("skipped")
        print(f"{half.name:26}{passed:8}{failed:>8}{skipped:9}{half.seconds:6.0f} s")
    lines = list(missing.values())
    if slow := halves[0].report["left_out"].get("slow", 0):
        lines.append(f"{slow} slow tests. They run with:  python3 manage.py test --all")
    for half in halves:
        lines += [
            f"{number} on {half.name}: {reason}"
            for reason, number in half.report["reasons"].items()
            if reason != f"Skipped: {NO_BROWSER}"
        ]
    for line in lines:
        _loudly(f"NOT run: {line}")
    if not lines:
        print("All that was asked for ran.", flush=True)


def _loudly(line: str) -> None:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    print(line if plain else f"\033[1;31m{line}\033[0m", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
