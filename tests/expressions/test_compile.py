"""The four forms of an expression, and which JavaScript needs no JavaScript."""

from __future__ import annotations

import pytest

from automations.expressions import compile_expression
from automations.expressions.compile import Compiled, FastTemplate, Literal, RefsPath, Script, Text

USER = ("data", "user_id")


@pytest.mark.parametrize(
    ("source", "compiled"),
    [
        ("", Literal("")),
        ("onboarding-refs.data.user_id", Literal("onboarding-refs.data.user_id")),
        (" refs.data.user_id", Literal(" refs.data.user_id")),
        ("x-${data.user_id}", Literal("x-${data.user_id}")),
        ("${data.user_id} ", Literal("${data.user_id} ")),
        ("{{user_id}} {{data}} {{data.}}", Literal("{{user_id}} {{data}} {{data.}}")),
        ("refs.data.user_id", RefsPath(USER)),
        ("refs.outreach.status", RefsPath(("outreach", "status"))),
        ('refs.data["user_id"]', RefsPath(('data["user_id"]',))),
        ("refs.", RefsPath(("",))),
        ("{{data.user_id}}", Text((USER,))),
        ("a {{ refs.data.user_id }} b", Text(("a ", USER, " b"))),
        ("{{refs.recipient.id}}{{profile.e-mail}}", Text((("recipient", "id"), ("profile", "e-mail")))),
        ("${data.user_id}", FastTemplate("data.user_id", (USER,), USER)),
        ("${ refs.data.user_id }", FastTemplate(" refs.data.user_id ", (USER,), USER)),
        ("${`a-${data.user_id}`}", FastTemplate("`a-${data.user_id}`", ("a-", USER))),
        ("${`$5 ${ data.user_id }{}`}", FastTemplate("`$5 ${ data.user_id }{}`", ("$5 ", USER, "{}"))),
        ("${`a`}", Script("`a`")),
        ("${`\\n${data.user_id}`}", Script("`\\n${data.user_id}`")),
        ("${`${data.user_id}\r`}", Script("`${data.user_id}\r`")),
        ("${`${data.user_id + 1}`}", Script("`${data.user_id + 1}`")),
        ("${data.é}", Script("data.é")),
        ("${data.a\x1f}", Script("data.a\x1f")),
        ("${data}", Script("data")),
        ("${refs.outreach.status}", Script("refs.outreach.status")),
        ("${data.a}-${data.b}", Script("data.a}-${data.b")),
        ("${}", Script("")),
    ],
)
def test_form(source: str, compiled: Compiled) -> None:
    assert compile_expression(source) == compiled


def test_long_text_is_told_apart_too_and_not_remembered() -> None:
    text = "x" * 100_000
    assert compile_expression(f"{text}{{{{data.user_id}}}}") == Text((text, USER))
    assert compile_expression(text) is not compile_expression(text)
    assert compile_expression("short") is compile_expression("short")
