"""What the help of commands says of what is not given."""

from __future__ import annotations

import pytest

from automations.management.commands import apply, create_api_key, import_courier

pytestmark = pytest.mark.pure


def words_of(command: type[apply.Command | create_api_key.Command]) -> str:
    return " ".join(command().create_parser("manage.py", "it").format_help().split())


def test_a_key_without_scopes_has_three_in_production() -> None:
    said = words_of(create_api_key.Command)
    assert "of: read, invoke, cancel, write, admin (default: read,invoke,cancel)" in said
    assert "--environment KEY the one environment that it is good for (default: production)" in said


@pytest.mark.parametrize("command", [apply.Command, import_courier.Command])
def test_automations_are_applied_to_production(command: type[apply.Command]) -> None:
    assert "--environment KEY where the automations belong (default: production)" in words_of(command)
