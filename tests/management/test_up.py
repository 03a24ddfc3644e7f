"""`manage.py up`, watched from outside: what it prints, serves, survives and leaves behind."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from automations.management.commands.up import Command
from automations.management.trial import running
from tests.live import Product, started

MANAGE = Path(__file__).resolve().parent.parent.parent / "manage.py"
pytestmark = pytest.mark.pure  # nothing here depends on which database it is
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


def up(*words: str, folder: Path) -> tuple[int, str]:
    """Status and all output of an `up` that ends by itself."""
    drop = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SITE_URL"}
    kept = {name: value for name, value in os.environ.items() if name not in drop}
    done = subprocess.run(
        [sys.executable, MANAGE, "up", *words],
        env=kept | {"COUNTERMAND_DATA": str(folder), "NO_BOOTSTRAP": "1"},
        capture_output=True,
        text=True,
        timeout=90,
    )
    return done.returncode, done.stdout + done.stderr


def processes_of(product: Product) -> dict[int, str]:
    """The command lines of everything that runs on the product's data folder, by process id."""
    mark = f"COUNTERMAND_DATA={product.folder}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if command:  # a zombie has none
                    found[int(folder.name)] = command
    return found


def await_that(condition: Callable[[], object], *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.05)


def serves(product: Product) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{product.url}/healthz", timeout=5).status_code == 200
    return False


def works(product: Product) -> bool:
    """Whether the workers are there, too."""
    return httpx.get(f"{product.url}/readyz", timeout=5).status_code == 200


@pytest.fixture(scope="module")
def own() -> Iterator[Product]:
    """Started on nothing at all."""
    with running() as trial, closing(Product(trial)) as product:
        yield product


def test_a_first_start_tells_the_address_and_the_one_time_link_and_keeps_both_from_others(
    own: Product,
) -> None:
    code = (own.folder / "setup_code").read_text()
    lines = own.log.splitlines()
    assert re.fullmatch(r"Preparing the database \(\d+ migrations\) \.\.\.", lines[0])
    assert lines[1] == "Loaded sample automations: approval-reminder, onboarding-reminder, trial-expiry"
    assert lines[2].startswith(f"Countermand serves {own.url}/  (")
    assert lines[3] == f"No user exists yet. Make the first one here:  {own.url}/setup/?code={code}"
    assert lines[4] == "Ctrl-C stops everything."
    found = f"COUNTERMAND_DATA={own.folder} "
    assert lines[5] == (
        f"In a second terminal, a key to invoke and cancel with:  {found}python3 manage.py create_api_key quickstart"
    )
    assert len(code) == 16
    assert oct(own.folder.stat().st_mode & 0o777) == "0o700"
    kept = ("setup_code", "secret_key", "field_keys")
    assert {oct((own.folder / name).stat().st_mode & 0o777) for name in kept} == {"0o600"}


@on_linux
@pytest.mark.slow
def test_what_dies_is_started_again_and_sigterm_stops_all_within_15_seconds(own: Product) -> None:
    await_that(lambda: works(own), seconds=30)
    web = min(pid for pid, command in processes_of(own).items() if "gunicorn" in command)
    cluster = min(pid for pid, command in processes_of(own).items() if command.endswith("manage.py cluster"))
    os.kill(web, signal.SIGKILL)
    os.kill(cluster, signal.SIGKILL)
    await_that(lambda: own.log.count("starting it again in 0.5 s") == 2, seconds=5)
    await_that(lambda: serves(own), seconds=30)
    await_that(lambda: [c for c in processes_of(own).values() if c.endswith("cluster --tree")], seconds=30)
    assert {web, cluster} & set(processes_of(own)) == set()
    before = time.monotonic()
    os.kill(own.pid, signal.SIGTERM)
    await_that(lambda: not processes_of(own), seconds=15)
    assert time.monotonic() - before < 15
    assert own.log.splitlines()[-1] == "Stopped."


@on_linux
@pytest.mark.slow
def test_nothing_outlives_an_up_that_was_killed() -> None:
    with started() as product:
        await_that(lambda: works(product), seconds=30)
        os.kill(product.pid, signal.SIGKILL)
        await_that(lambda: set(processes_of(product)) <= {product.pid}, seconds=15)


@pytest.mark.parametrize(
    ("given", "is_open", "said"),
    [({}, True, True), ({}, False, False), ({"SITE_URL": "http://a.example"}, True, False),
     ({"ALLOWED_HOSTS": "a.example"}, True, False)],
)  # fmt: skip
def test_a_server_for_other_machines_says_where_its_names_are_set(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], *, is_open: bool, said: bool
) -> None:
    for name in ("SITE_URL", "ALLOWED_HOSTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    Command(stdout=out)._announce("http://127.0.0.1:8000", None, is_open=is_open)
    hint = "Asked for under any other name, this server refuses: set ALLOWED_HOSTS or SITE_URL.\n"
    assert (hint in out.getvalue()) is said


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, ""), ({"COUNTERMAND_DATA": "/data"}, "COUNTERMAND_DATA='/my data' "),
     ({"DATABASE_URL": "postgres://ana:secret@db/shop"}, "DATABASE_URL=… "),
     ({"COUNTERMAND_DATA": "/data", "DATABASE_URL": "postgres://db/shop"},
      "COUNTERMAND_DATA='/my data' DATABASE_URL=… ")],
)  # fmt: skip
def test_the_next_command_finds_the_same_data_and_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], found: str
) -> None:
    for name in ("COUNTERMAND_DATA", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(settings, "COUNTERMAND_DATA", Path("/my data"))
    out = io.StringIO()
    Command(stdout=out)._announce("http://127.0.0.1:8000", None, is_open=False)
    said = "In a second terminal, a key to invoke and cancel with:  "
    assert out.getvalue().splitlines()[-1] == f"{said}{found}python3 manage.py create_api_key quickstart"


def test_a_taken_port_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert up("--port", str(port), folder=tmp_path) == (
            1,
            f"CommandError: Port {port} of 127.0.0.1 is in use. Choose another with --port.\n",
        )
    assert list(tmp_path.glob("*.sqlite3")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "65536"], "'65536' is not a whole number from 0 to 65535"),
        (["--port", "web"], "'web' is not a whole number from 0 to 65535"),
        (["--host", "203.0.113.1"], "Cannot listen on 203.0.113.1, port 8000: "),
    ],
)
def test_a_bad_address_is_told_in_a_sentence(tmp_path: Path, words: list[str], said: str) -> None:
    status, output = up(*words, folder=tmp_path)
    assert status in (1, 2)
    assert said in output
    assert "Traceback" not in output


def test_check_proves_the_promise_and_leaves_the_data_alone(tmp_path: Path) -> None:
    status, output = up("--check", folder=tmp_path)
    lines = output.splitlines()
    assert (status, lines[-1]) == (0, "The promise holds: what was cancelled never went on.")
    assert [line for line in lines if "WRONG" in line] == []
    assert lines.count("The control, left alone, went on: its reminder was sent.") == 1
    assert len([line for line in lines if line.endswith(": 1 run, 0 steps in flight")]) == 2
    assert list(tmp_path.glob("*.sqlite3")) == []
