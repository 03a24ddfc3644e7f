"""Commands on a database that has no tables yet, or does not answer."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from automations.management import preparing
from automations.management.commands import cluster
from automations.models import database_name, is_prepared, prepared

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
COMMANDS = [
    ["create_api_key", "docs"],
    ["create_user", "mia", "--role", "admin", "--password-stdin"],
    ["apply", "automation.json"],
    ["import_courier", "journey.json"],
]
SAID = (
    "The database ({}) is not prepared: run `manage.py up` or `manage.py migrate`; "
    "is COUNTERMAND_DATA or DATABASE_URL set?"
)


def managed(folder: Path, *words: str, database: str = "") -> tuple[int, str]:
    """Status and all output of a command on that data folder."""
    given = {"COUNTERMAND_DATA": str(folder), "DATABASE_URL": database, "NO_BOOTSTRAP": "1"}
    drop = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, MANAGE, *words], env={**os.environ, **given, **drop}, input="",
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.pure
def test_a_database_without_tables_is_told_in_a_sentence(tmp_path: Path) -> None:
    said = f"CommandError: {SAID.format(tmp_path / 'countermand.sqlite3')}\n"
    assert managed(tmp_path, "create_api_key", "docs") == (1, said)


@pytest.mark.pure
@pytest.mark.parametrize("words", [["up", "--port", "0"], ["create_api_key", "docs"]])
def test_a_database_that_does_not_answer_is_told_without_its_password(
    tmp_path: Path, words: list[str]
) -> None:
    status, output = managed(tmp_path, *words, database="postgres://ana:secret@127.0.0.1:1/shop")
    assert status == 1
    assert output.startswith("CommandError: The database (shop at 127.0.0.1:1) does not answer: connection")
    assert (output.count("\n"), "secret" in output) == (1, False)


@pytest.mark.pure
@pytest.mark.parametrize("words", [["up", "--port", "0"], ["create_api_key", "docs"], ["cluster"]])
def test_a_file_that_is_no_database_is_told_in_a_sentence(tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "countermand.sqlite3"
    file.write_text("garbage", encoding="utf-8")
    status, output = managed(tmp_path, *words)
    said = f"CommandError: The database ({file}) cannot be read: file is not a database"
    assert (status, output.splitlines()[-1]) == (1, said)
    assert "Traceback" not in output
    assert file.read_text(encoding="utf-8") == "garbage"


@pytest.mark.django_db
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_no_command_runs_on_a_database_without_tables(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    assert is_prepared()
    monkeypatch.setattr(preparing, "is_prepared", lambda: False)
    with pytest.raises(CommandError) as refused:
        call_command(*words)
    assert str(refused.value) == SAID.format(database_name())


@pytest.mark.pure
@pytest.mark.parametrize(
    ("vendor", "known", "name"),
    [
        ("sqlite", {"NAME": "/data/a.sqlite3"}, "/data/a.sqlite3"),
        ("postgresql", {"NAME": "shop", "HOST": "db.example", "PORT": 5433, "PASSWORD": "secret"},
         "shop at db.example:5433"),
        ("postgresql", {"NAME": "shop", "HOST": "", "PORT": ""}, "shop at localhost"),
    ],
)  # fmt: skip
def test_a_database_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, vendor: str, known: dict[str, Any], name: str
) -> None:
    monkeypatch.setattr(prepared, "connection", SimpleNamespace(vendor=vendor, settings_dict=known))
    assert database_name() == name


class Tables:
    """What the database answers when asked for its tables, one answer after the other; the last stays."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)

    def __call__(self) -> bool:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes that the workers were started, and starts none; the connection stays open."""
    begun: list[str] = []

    class Watchdog:
        def watch(self) -> int:
            begun.append("watched")
            return 0

    monkeypatch.setattr("automations.cluster.watchdog.Watchdog", Watchdog)
    monkeypatch.setattr(cluster, "connection", io.StringIO())  # it can be closed
    monkeypatch.setattr(cluster, "PAUSE", 0.0)
    return begun


@pytest.mark.pure
@pytest.mark.parametrize(
    ("answers", "waited"),
    [([True], False), ([False, False, True], True), ([OperationalError("starting up")], False)],
)
def test_workers_start_once_there_are_tables_or_the_database_is_down(
    monkeypatch: pytest.MonkeyPatch, watched: list[str], answers: list[bool | Exception], *, waited: bool
) -> None:
    monkeypatch.setattr(cluster, "is_prepared", Tables(*answers))
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("cluster", stdout=out, stderr=err)
    assert (ended.value.code, watched) == (0, ["watched"])
    assert out.getvalue() == f"The workers' database is {database_name()}.\n"
    said = f"{SAID.format(database_name())} Waiting 30 s for whoever does that now ...\n"
    assert err.getvalue() == (said if waited else "")


@pytest.mark.pure
def test_workers_do_not_wait_for_ever_for_tables(monkeypatch: pytest.MonkeyPatch, watched: list[str]) -> None:
    monkeypatch.setattr(cluster, "is_prepared", Tables(False))
    monkeypatch.setattr(cluster, "PATIENCE", 0.0)
    with pytest.raises(CommandError) as refused:
        call_command("cluster", stdout=io.StringIO(), stderr=io.StringIO())
    assert (str(refused.value), watched) == (SAID.format(database_name()), [])
