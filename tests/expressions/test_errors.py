"""What an error says, and that what an expression came up with cannot spoil a log or a database."""

from __future__ import annotations

from typing import get_args

import pytest

from automations.expressions.errors import ExpressionError, Kind, printable


@pytest.mark.parametrize("kind", get_args(Kind))
def test_only_the_machines_failures_may_be_retried(kind: Kind) -> None:
    assert ExpressionError(kind, "why").retryable is (kind in ("crashed", "busy", "starved"))


def test_an_error_names_the_paths_in_its_message() -> None:
    error = ExpressionError("unresolved", "the value is missing", source="refs.data.a", paths=("data.a",))
    assert str(error) == error.message == "the value is missing (data.a)"
    assert (error.source, error.paths) == ("refs.data.a", ("data.a",))


def test_messages_and_paths_hold_no_control_characters_no_half_characters_and_are_short() -> None:
    error = ExpressionError("runtime", "a\x00b\ud800c" + "x" * 1000, paths=("data.\n",))
    assert error.message == "a\ufffdb\ufffdc" + "x" * 295 + " (data.\ufffd)"
    assert printable("é\u2028😀") == "é\u2028😀"
