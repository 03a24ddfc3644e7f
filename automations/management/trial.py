"""Runs the whole product on a throw-away data folder and a free port, for proofs and tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

SERVING = "Countermand serves "  # how `up` begins the line that tells its address
START_SECONDS = 60.0
STOP_SECONDS = 20.0


class TrialError(Exception):
    """The product did not start, or one of its commands failed; the message holds what it printed."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A running product: its address without a slash at the end, its data folder, and what `up` printed."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]

    def manage(self, *arguments: str) -> str:
        """Standard output of a management command on the same data. TrialError when it fails."""
        done = subprocess.run(
            [*_manage(), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise TrialError(f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def key(self, *, name: str, scopes: str) -> str:
        """A fresh API key of the production environment with these comma-separated scopes."""
        return self.manage("create_api_key", name, "--scopes", scopes)

    @property
    def log(self) -> str:
        """All that `up` and its children printed so far."""
        return _log_of(self.folder).read_text(errors="replace")


@contextmanager
def running(*, settings_given: Mapping[str, str] | None = None) -> Iterator[Trial]:
    """The product, started by `up` on a free port of 127.0.0.1, with an SQLite of its own unless DATABASE_URL
    is among the given settings; at the end it is stopped and its folder removed.

    TrialError when it does not come to serve, or does not stop.
    """
    with tempfile.TemporaryDirectory(prefix="countermand-") as name:
        folder = Path(name)
        environment = _environment(folder, settings_given or {})
        with _log_of(folder).open("wb") as log:
            process = subprocess.Popen(
                [*_manage(), "up", "--port", "0"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            url = _address(process, folder)
            yield Trial(url=url, folder=folder, process=process, environment=environment)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise TrialError(f"`up` did not stop within {STOP_SECONDS:.0f} s") from None


def _environment(folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """This process's variables without those that name data or an address of the real installation."""
    real = {"DATABASE_URL", "SECRET_KEY", "FIELD_KEYS", "SITE_URL", "ALLOWED_HOSTS"}
    inherited = {name: value for name, value in os.environ.items() if name not in real}
    return inherited | {
        "COUNTERMAND_DATA": str(folder),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "NO_BOOTSTRAP": "1",
        **given,
    }


def _manage() -> list[str]:
    return [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]


def _log_of(folder: Path) -> Path:
    return folder / "up.log"


def _address(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Waits for the line that tells the address."""
    line = re.compile(rf"^{re.escape(SERVING)}(\S+)/ ", re.MULTILINE)
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if found := line.search(_log_of(folder).read_text(errors="replace")):
            return found[1]
        time.sleep(0.05)
    raise TrialError(f"`up` did not come to serve:\n{_log_of(folder).read_text(errors='replace')}")
