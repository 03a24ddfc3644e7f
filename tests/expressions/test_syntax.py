"""JavaScript that cannot be read is told from JavaScript that would fail."""

from __future__ import annotations

import pytest

from automations.expressions import syntax_fault


@pytest.mark.parametrize(
    ("source", "is_condition"),
    [
        ("onboarding", False),
        ("x-${data.", False),  # no expression: it stands for itself
        ("refs.data.(", False),
        ("${data.user_id}", False),
        ("${`a-${data.b.c.d}`}", False),  # fails with most data
        ("${throw new Error('no')}", False),
        ("${const a = 1; a // the last}", False),
        ("${while (true);}", False),
        ("", True),
        ("data.plan === 'pro'", True),
        ("${!data.plan}", True),
        ("${if (data.a) { 1 } else { 2 }}", False),
        ("${const f = () => { return 1 }; f()}", False),
    ],
)
def test_what_can_be_read_has_no_fault(source: str, is_condition: bool) -> None:
    assert syntax_fault(source, is_condition=is_condition) == ""


@pytest.mark.parametrize(
    ("source", "is_condition"),
    [
        ("${`wrong-${data.user_id`}", False),
        ("${data.}", False),
        ("${data.a)}", False),
        ("${a b}", False),
        ("data.plan ===", True),
        ("${(}", True),
        ("${x } {}", False),
        ("${x }); ({ }", False),
        ("${return data.a}", False),
        ("data.a } else { data.b", True),
    ],
)
def test_what_cannot_be_read_has_one(source: str, is_condition: bool) -> None:
    fault = syntax_fault(source, is_condition=is_condition)
    assert fault.startswith("SyntaxError"), fault
