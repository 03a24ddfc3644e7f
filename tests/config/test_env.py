"""The typed reader of the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config import env, settings
from config.env import BadSetting


def test_text_is_the_default_when_unset_or_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CM_X", raising=False)
    assert env.text("CM_X", "default") == "default"
    monkeypatch.setenv("CM_X", "")
    assert env.text("CM_X", "default") == "default"
    monkeypatch.setenv("CM_X", " value ")
    assert env.text("CM_X", "default") == " value "


@pytest.mark.parametrize(("given", "read"), [("1", 1), ("64", 64), ("007", 7)])
def test_a_number_within_its_bounds_is_read(monkeypatch: pytest.MonkeyPatch, given: str, read: int) -> None:
    monkeypatch.setenv("CM_X", given)
    assert env.number("CM_X", 5, least=1, most=64) == read


@pytest.mark.parametrize("given", ["0", "65", "-1", "1.5", "two", "٣", " 3", "1e1"])
def test_any_other_number_is_refused_by_name_and_range(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CM_X", given)
    with pytest.raises(BadSetting) as refused:
        env.number("CM_X", 5, least=1, most=64)
    assert str(refused.value) == f"CM_X={given!r}: expected a whole number from 1 to 64"


@pytest.mark.parametrize("word", ["1", "true", "YES", "On"])
def test_words_that_switch_on(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("CM_X", word)
    assert env.flag("CM_X") is True


@pytest.mark.parametrize("word", ["0", "False", "no", "OFF"])
def test_words_that_switch_off(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("CM_X", word)
    assert env.flag("CM_X", default=True) is False


def test_any_other_flag_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_X", "maybe")
    with pytest.raises(BadSetting) as refused:
        env.flag("CM_X")
    assert str(refused.value) == "CM_X='maybe': expected on or off"


def test_words_lose_their_blanks_and_the_empty_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_X", " a, b ,,c")
    assert env.words("CM_X") == ("a", "b", "c")
    monkeypatch.delenv("CM_X")
    assert env.words("CM_X") == ()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://countermand.example.com", "https://countermand.example.com"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://web", "http://web"),
    ],
)
def test_an_address_is_a_scheme_and_a_host(monkeypatch: pytest.MonkeyPatch, given: str, read: str) -> None:
    monkeypatch.setenv("CM_X", given)
    assert env.address("CM_X", "http://elsewhere") == read
    monkeypatch.delenv("CM_X")
    assert env.address("CM_X", "http://elsewhere") == "http://elsewhere"


@pytest.mark.parametrize(
    "given",
    [
        "nonsense", "countermand.example.com", "ftp://x", "https://", "https://a.example/below", "https://a b",
        "https://ana@a.example", "https://a.example:port", "https://a.example?x", " https://a.example",
    ],
)  # fmt: skip
def test_any_other_address_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CM_X", given)
    with pytest.raises(BadSetting) as refused:
        env.address("CM_X", "http://elsewhere")
    wanted = "http://host or https://host, with :port where it has one of its own"
    assert str(refused.value) == f"CM_X={given!r}: expected {wanted}"


def test_hosts_are_names_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (
        "sink.example",
        "10.0.0.5:8080",
        "::1",
        "10.1.2.3/8",
        "10.0.0.0/8:8080",
        "fd00::/8",
        "[fd00::/8]:80",
    )
    monkeypatch.setenv("CM_X", ", ".join(given))
    assert env.hosts("CM_X") == given


@pytest.mark.parametrize(
    "given", ["300.1.1.1/99", "10.0.0.0/33", "http://sink.example", "sink.example/hooks"]
)
def test_a_slash_without_a_network_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CM_X", f"127.0.0.1, {given}")
    with pytest.raises(BadSetting) as refused:
        env.hosts("CM_X")
    wanted = "a host name, an address, or a network such as 10.0.0.0/8"
    assert str(refused.value) == f"CM_X={given!r}: expected {wanted}"


def test_a_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CM_X", "data")
    assert env.folder("CM_X", Path("/elsewhere")) == tmp_path.resolve() / "data"
    monkeypatch.delenv("CM_X")
    assert env.folder("CM_X", Path("/elsewhere")) == Path("/elsewhere")


def test_a_file_is_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    monkeypatch.setenv("CM_X", str(file))
    with pytest.raises(BadSetting) as refused:
        env.folder("CM_X", Path("/elsewhere"))
    assert str(refused.value) == f"CM_X={str(file)!r}: expected a folder, and this is a file"


@pytest.mark.parametrize(
    ("given", "engine", "name"),
    [
        ("postgres://ana:word@db.example/shop", "postgresql", "shop"),
        ("postgresql://ana@%2Frun%2Fpg:5433/shop", "postgresql", "shop"),
        ("sqlite:////data/shop.sqlite3", "sqlite3", "/data/shop.sqlite3"),
    ],
)
def test_a_database_is_a_postgresql_or_an_sqlite(
    monkeypatch: pytest.MonkeyPatch, given: str, engine: str, name: str
) -> None:
    monkeypatch.setenv("CM_X", given)
    read = env.database("CM_X", "sqlite:///elsewhere")
    assert (read["ENGINE"], read["NAME"]) == (f"django.db.backends.{engine}", name)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("mysql://ana:word@db.example/shop", "mysql://…"),
        ("postgres://ana:word@db.example:port/shop", "postgres://…"),
        ("ana:word@db.example/shop", "…"),
    ],
)
def test_any_other_database_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, given: str, shown: str
) -> None:
    monkeypatch.setenv("CM_X", given)
    with pytest.raises(BadSetting) as refused:
        env.database("CM_X", "sqlite:///elsewhere")
    assert str(refused.value) == (
        f"CM_X={shown!r}: expected postgres://user:password@host/name or sqlite:///path"
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WORKERS", "x", "WORKERS='x': expected a whole number from 1 to 64"),
        ("COUNTERMAND_DATA", "/dev/null/data",
         "COUNTERMAND_DATA='/dev/null/data': expected a folder to read and write in (Not a directory)"),
    ],
)  # fmt: skip
def test_a_command_says_what_is_wrong_in_one_line(tmp_path: Path, name: str, value: str, said: str) -> None:
    given = {**os.environ, "COUNTERMAND_DATA": str(tmp_path), "NO_BOOTSTRAP": "1"}
    given.pop("SECRET_KEY", None)
    manage = Path(__file__).resolve().parents[2] / "manage.py"
    done = subprocess.run(
        [sys.executable, manage, "up"], env={**given, name: value}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{said}\n")


def test_keys_are_read_in_their_order() -> None:
    one, two = "A" * 43 + "=", "_-" * 21 + "8="
    assert env.keys("CM_X", f" {one}, {two},") == (one, two)


@pytest.mark.parametrize(
    "bad", ["secret", "A" * 44, "A" * 42 + "=", "A" * 42 + "+=", "A" * 43 + "=\n.", "é" * 44]
)
def test_a_key_that_is_none_is_refused_by_its_place_and_never_shown(bad: str) -> None:
    with pytest.raises(BadSetting) as refused:
        env.keys("CM_X", f"{'A' * 43}=,{bad}")
    assert str(refused.value) == (
        "CM_X='(key 2)': expected 32 bytes in base64 for URLs, which are 44 characters"
    )


def test_there_is_one_key_at_least() -> None:
    with pytest.raises(BadSetting, match="CM_X='\\(empty\\)': expected one key at least"):
        env.keys("CM_X", " , ")


def test_a_key_is_made_once_and_read_by_its_owner_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "COUNTERMAND_DATA", tmp_path / "data")
    monkeypatch.delenv("CM_KEY", raising=False)
    assert [settings._kept("CM_KEY", made) for made in ("one", "two")] == ["one", "one"]
    (file,) = (tmp_path / "data").iterdir()
    assert (file.name, oct(file.stat().st_mode & 0o777)) == ("cm_key", "0o600")
    monkeypatch.setenv("CM_KEY", "given")
    assert settings._kept("CM_KEY", "two") == "given"
