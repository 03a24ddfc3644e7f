"""The typed reader of the environment."""

from __future__ import annotations

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


def test_a_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CM_X", "data")
    assert env.folder("CM_X", Path("/elsewhere")) == tmp_path.resolve() / "data"
    monkeypatch.delenv("CM_X")
    assert env.folder("CM_X", Path("/elsewhere")) == Path("/elsewhere")


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
