"""Secrets at rest: encrypted by the first key, read by any, and by none said so."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet

from automations.models import No, Unsealable, resealed, seal, sealing, unseal

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))


@pytest.mark.parametrize("secret", ["whsec_abc", "", "é\n\U0001f600", "x" * 10_000, "plain:x", "fernet:x"])
def test_what_is_sealed_is_not_in_the_database_and_comes_back(settings: Any, secret: str) -> None:
    settings.FIELD_KEYS = [NEW]
    stored = seal(secret)
    assert stored.startswith("fernet:")
    assert not secret or secret not in stored
    assert unseal(stored) == secret
    assert seal(secret) != stored  # two equal secrets cannot be told to be equal


def test_the_first_key_seals_and_all_read(settings: Any) -> None:
    settings.FIELD_KEYS = [OLD]
    stored = seal("s")
    settings.FIELD_KEYS = [NEW, OLD]
    assert (unseal(stored), unseal(seal("t"))) == ("s", "t")
    again = resealed(stored)
    assert again != stored
    assert resealed(again) == again
    settings.FIELD_KEYS = [NEW]
    assert unseal(again) == "s"
    with pytest.raises(Unsealable):
        unseal(stored)


def test_what_was_kept_before_there_were_keys_is_read(settings: Any) -> None:
    settings.FIELD_KEYS = [NEW]
    assert unseal("plain:s") == "s"
    assert resealed("plain:s").startswith("fernet:")
    assert unseal(resealed("plain:s")) == "s"


@pytest.mark.parametrize("stored", ["", "s", "fernet:", "fernet:s", "fernet:é", "aes:s"])
def test_what_no_key_reads_is_said(settings: Any, stored: str) -> None:
    settings.FIELD_KEYS = [NEW, OTHER]
    for read in (unseal, resealed):
        with pytest.raises(Unsealable, match="a key that is not among FIELD_KEYS") as refused:
            read(stored)
        assert (refused.value.kind, refused.value.code) == (No.UNAVAILABLE, "secret_unreadable")


def test_what_was_tampered_with_is_not_read(settings: Any) -> None:
    settings.FIELD_KEYS = [NEW]
    stored = seal("s")
    for place in range(len("fernet:"), len(stored) - 2, 7):
        changed = stored[:place] + ("A" if stored[place] != "A" else "B") + stored[place + 1 :]
        with pytest.raises(Unsealable):
            unseal(changed)


def test_one_box_serves_for_all(settings: Any) -> None:
    settings.FIELD_KEYS = [NEW, OLD]
    sealing._all.cache_clear()
    for _ in range(5):
        unseal(seal("s"))
    assert sealing._all.cache_info().misses == 2
